-- A board: columns are fixed, cards stand in them in the order of position.

create table boards (
  id   bigint generated always as identity primary key,
  name text not null check (name <> '')
);

create table members (
  board_id bigint not null references boards (id) on delete cascade,
  user_id  text not null check (user_id <> ''),
  primary key (board_id, user_id)
);

-- boards.list asks by user.
create index members_by_user on members (user_id);

create table cards (
  id          uuid primary key, -- the client's, so that it can show a card before the server has it
  board_id    bigint not null references boards (id) on delete cascade,
  list        text not null check (list in ('todo', 'doing', 'review', 'done')),
  position    numeric not null, -- between those of its neighbours, without an end
  title       text not null check (title <> ''),
  note        text not null default '',
  label       text not null default '' check (label in ('', 'bug', 'idea', 'chore')),
  assignee    text,
  archived_at timestamptz,
  created_by  text not null,
  created_at  timestamptz not null default now()
);

-- cards.list reads a board in order; cards.archived its newest.
create index cards_by_board on cards (board_id, list, position, id) where archived_at is null;
create index cards_archived on cards (board_id, archived_at desc, id) where archived_at is not null;
