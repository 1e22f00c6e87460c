"""Ingestion: sources become an immutable dataset snapshot in three splits, in one pass and in bounded memory.

`open` finds what `data.source` names and opens it: each source is a stream of batches (`opened` is the seam). `table`
gives the batches their types, `rows` drops what is rejected, makes the label and hashes each row, `split` assigns it,
and `write` puts it into its split's file. Batches are worked on in threads (`parallel`) and come out in their order.
What needs to see all rows first (`ids`, a split by shares) keeps numbers in files (`ranks`); `join`, `aggregate` (of
child tables) and `extend` (by the previous snapshot) go before, through files and DuckDB (`merge`). `ingest` is the
whole.
"""
