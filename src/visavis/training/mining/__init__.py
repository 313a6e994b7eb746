"""Mining of pairs and triplets.

In the batch, at every step: ``batch_all``, ``batch_hard``, ``semi_hard``, from a matrix of
distances. From the embeddings of the whole training set, now and then: ``offline`` (triplets) and
``lookalikes`` (people to put into one batch).
"""
