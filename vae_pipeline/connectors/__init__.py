"""Fill ``incoming/`` from databases, addresses and topics, in bounded batches, each row once."""
