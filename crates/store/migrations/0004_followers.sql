-- Queues that follow another one: what that one gets they get too, under the same numbers.
ALTER TABLE queue ADD COLUMN first INTEGER NOT NULL DEFAULT 0;  -- the number that its first indication had or will have
ALTER TABLE queue ADD COLUMN follows BLOB;                      -- the destination whose queue it follows

-- Empty as long as nobody asks for bookmarks.
CREATE INDEX queue_follows ON queue (follows) WHERE follows IS NOT NULL;
