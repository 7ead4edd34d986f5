"""The audit: what was done, chained, signed, verified, and proved.

entries        what an entry is, and the code by which a worker vouches for one
sealing        the keyed chain of each run's entries
checkpoints    signed statements of how far every chain has come
notary         the task that seals and signs, beside each conductor
verification   finds the first entry that was edited, inserted, reordered, removed or cut off
certificates   "done", asked again and signed
reading        each new entry once, whenever it is committed
watch          the invariants as queries, asked every minute
"""
