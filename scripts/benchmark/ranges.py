"""Reads an object in ranges and keeps nothing: what the network alone takes; run by scripts/bench, and timed.

python -I ranges.py URL CA CONNECTIONS BYTES: so many connections take ranges of so many bytes, one after the other.
"""

import http.client
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from urllib.parse import urlsplit


def main() -> None:
    """Read all of it."""
    url, ca, connections, step = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    trust = ssl.create_default_context(cafile=ca)
    starts = count(0, step)

    def read() -> int:
        connection = http.client.HTTPSConnection(url.netloc, context=trust)
        piece = bytearray(256 * 1024)
        total = 0
        for start in starts:
            connection.request("GET", url.path, headers={"Range": f"bytes={start}-{start + step - 1}"})
            answer = connection.getresponse()
            got = 0
            while size := answer.readinto(piece):
                got += size
            if answer.status != http.client.PARTIAL_CONTENT:
                break
            total += got
            if got < step:
                break
        connection.close()
        return total

    with ThreadPoolExecutor(connections) as pool:
        print(sum(future.result() for future in [pool.submit(read) for _ in range(connections)]))


if __name__ == "__main__":
    main()
