-- A chat: rooms, who is in them, and what they said.

create table rooms (
  id   bigint generated always as identity primary key,
  name text not null unique check (name <> '')
);

create table members (
  room_id   bigint not null references rooms (id) on delete cascade,
  user_id   text not null check (user_id <> ''),
  joined_at timestamptz not null default now(),
  primary key (room_id, user_id)
);

-- rooms.list asks by user.
create index members_by_user on members (user_id);

create table messages (
  id      bigint generated always as identity primary key,
  room_id bigint not null references rooms (id) on delete cascade,
  author  text not null,
  body    text not null check (body <> ''),
  sent_at timestamptz not null default now()
);

-- messages.list reads the newest of a room, or of one author in it.
create index messages_by_room on messages (room_id, id desc);
create index messages_by_author on messages (room_id, author, id desc);
