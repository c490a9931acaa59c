"""SQL over the rows of one database: from text to an Arrow table and on to bytes."""
