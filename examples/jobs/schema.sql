-- Posters that people order. A worker paints them; the jobs and runs themselves
-- are weir's, in weir.jobs and weir.workflow_runs.

create table posters (
  id         bigint generated always as identity primary key,
  owner      text not null check (owner <> ''),     -- a principal: issuer and subject
  title      text not null check (title <> ''),
  style      text not null check (style in ('dunes', 'waves', 'stars')),
  job_id     uuid not null unique,                  -- paints it
  run_id     uuid,                                  -- publishes it, once that was asked for
  picture    bytea,                                 -- JPEG, written together with the end of the job
  ordered_at timestamptz not null default now()
);

-- posters.mine asks by owner, the newest first.
create index posters_by_owner on posters (owner, id desc);
