# Ceph with one monitor, one object store in memory and one gateway; the first process of its namespace, so that all
# others end with it. PORT, TLS_PORT, MONITOR_PORT, BUCKET, ACCESS_KEY, READER_ACCESS_KEY and SECRET_KEY say what is
# wanted; /srv/ready appears when it is there.
set -euo pipefail
trap exit TERM
cd /srv
mkdir monitor objects run
cluster=$(cat /proc/sys/kernel/random/uuid)
store=$(cat /proc/sys/kernel/random/uuid)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout tls.key -out tls.crt 2>/dev/null

# auth none:        with it the gateway only finds the monitor when the mode is crc.
# paxos:            the defaults wait for others to speak up; there are none, and it makes the start ten times longer.
# osd_class_dir:    Debian's default is relative, and nothing is found there.
# memstore:         when it is full, the gateway answers 507.
# rgw_gc:           what was overwritten is freed after seconds instead of hours.
cat >ceph.conf <<END
[global]
fsid = $cluster
mon_host = v2:127.0.0.1:$MONITOR_PORT
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_cluster_mode = crc
ms_mon_service_mode = crc
keyring = /dev/null
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_data = /srv/monitor
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_cluster_log_to_file = false
osd_data = /srv/objects
osd_objectstore = memstore
memstore_device_bytes = 8589934592
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_class_dir = $(dirname /usr/lib/*/rados-classes/libcls_version.so)
osd_class_load_list = *
osd_class_default_list = *
rgw_enable_apis = s3, iam, sts, admin
rgw_gc_obj_min_wait = 20
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
log_to_file = false
run_dir = /srv/run
crash_dir = /srv/run
pid_file = /srv/run/\$name.pid
admin_socket = /srv/run/\$name.socket
END
export CEPH_ARGS='--conf /srv/ceph.conf'

monmaptool --create --fsid "$cluster" --addv a "[v2:127.0.0.1:$MONITOR_PORT]" monitor.map >/dev/null
ceph-mon --mkfs -i a --monmap monitor.map
ceph-mon -f -i a &
number=$(timeout 30 ceph osd new "$store")
ceph-osd -i "$number" --mkfs --osd-uuid "$store"
ceph-osd -f -i "$number" &
until ceph osd stat | grep -q '1 up'; do
    sleep 0.05
done

user() { radosgw-admin user create --uid="$1" --display-name="$1" --access-key="$2" --secret-key="$SECRET_KEY" >/dev/null; }
user owner "$ACCESS_KEY"
user reader "$READER_ACCESS_KEY"

radosgw -f -n client.admin --rgw_frontends="beast endpoint=127.0.0.1:$PORT ssl_endpoint=127.0.0.1:$TLS_PORT \
    ssl_certificate=/srv/tls.crt ssl_private_key=/srv/tls.key tcp_nodelay=1" &
gateway=$!
# Older versions of curl do not send this header on their own, and the gateway then refuses the signature.
until curl --silent --show-error --fail --request PUT --user "$ACCESS_KEY:$SECRET_KEY" \
    --aws-sigv4 aws:amz:us-east-1:s3 --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    "http://127.0.0.1:$PORT/$BUCKET"; do
    kill -0 "$gateway"
    sleep 0.05
done
touch ready
wait -n
