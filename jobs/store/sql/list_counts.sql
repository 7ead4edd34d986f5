-- Everything that the processes counted, added up.
SELECT m.name, m.labels, m.value FROM portcullis.metric m ORDER BY m.name, m.labels
