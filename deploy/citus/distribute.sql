-- Turns a plain database of the statistics service into a distributed one. Run it as the superuser, on the coordinator, in the
-- database of the service, once, after the service has started for the first time (it makes its tables then) and before it
-- takes its first figures; while it runs, the service must not. See README.md.
\set ON_ERROR_STOP on
BEGIN;

CREATE EXTENSION IF NOT EXISTS citus;

-- What is of one part is on one node: by part, all in one group, so that they join there.
SELECT create_distributed_table('series', 'part', shard_count => 64);
SELECT create_distributed_table('cur', 'part', colocate_with => 'series');
SELECT create_distributed_table('hist', 'part', colocate_with => 'series');
SELECT create_distributed_table('margin', 'part', colocate_with => 'series');
SELECT create_distributed_table('event_batch', 'part', colocate_with => 'series');
SELECT create_distributed_table('event_counter', 'part', colocate_with => 'series');
SELECT create_distributed_table('event_closing', 'part', colocate_with => 'series');

-- All other tables stay on the coordinator, where every statement begins: structures, layouts, rules and submissions; dataflows,
-- the numbers of codes, parts, their revisions with terms, and what was removed of them, by which a call finds out in one statement what it means; and the news, whose
-- one order of commits is the point of them. No statement joins them with the tables above, so nothing has to be on every node.

COMMIT;
