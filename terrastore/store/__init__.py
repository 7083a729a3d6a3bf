"""Where pointers and archives live. ``protocol`` says what a store is, ``locations`` which kinds there are."""
