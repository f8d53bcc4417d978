-- What the sample of every language reads.
create table boxes (
  id   bigint primary key,
  name text not null
);

create table notes (
  id    bigint primary key,
  box   bigint not null references boxes (id),
  title text not null,
  image bytea,
  price numeric,
  at    timestamptz,
  score float8,
  done  boolean,
  tags  text[],
  meta  jsonb
);

create table readers (
  box     bigint not null,
  user_id text not null,
  banned  text,
  primary key (box, user_id)
);

insert into boxes values (1, 'first'), (2, 'leer'), (9007199254740993, 'große Kiste');

insert into notes values
  (1, 1, 'plain', null, null, null, null, null, null, null),
  (2, 1, 'naïve Grüße, 你好 🌍', '\x00ff10', 12.50, '2026-01-31 10:30:00.123456+01', 0.1, true, '{a,"b c",ü}', '{"k": [1, null, "ü"]}'),
  (3, 1, 'whole', '\x', -0.000000000000000001, '2026-01-31 10:30:00+01', 3, false, '{}', '[]'),
  (9007199254740993, 1, 'past 2^53', '\x01', 123456789012345678901234567890.5, '1969-12-31 23:59:59.9+00', -1.5e300, true, '{x}', 'null'),
  (9007199254740995, 9007199254740993, 'largest', null, 0, null, 'Infinity', null, null, '"t"');

insert into readers values (1, 'ann', null), (2, 'ann', null), (9007199254740993, 'ann', null), (1, 'bob', 'für immer');
