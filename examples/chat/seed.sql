-- Three people, three rooms, a few words. Safe to run twice.

insert into rooms (name) values ('general'), ('random'), ('support')
on conflict (name) do nothing;

insert into members (room_id, user_id)
select r.id, m.user_id
from (values
  ('general', 'ann'), ('general', 'bob'), ('general', 'cid'),
  ('random',  'ann'), ('random',  'bob'),
  ('support', 'cid')
) as m (room, user_id)
join rooms r on r.name = m.room
on conflict do nothing;

insert into messages (room_id, author, body, sent_at)
select r.id, m.author, m.body, now() - m.age
from (values
  (1, 'general', 'ann', 'Good morning!',                              interval '50 minutes'),
  (2, 'general', 'bob', 'Morning. Is the new room up?',               interval '48 minutes'),
  (3, 'general', 'cid', 'It is: post here and watch the other window.', interval '47 minutes'),
  (4, 'random',  'bob', 'Tea or coffee?',                             interval '20 minutes'),
  (5, 'random',  'ann', 'Yes.',                                       interval '19 minutes'),
  (6, 'support', 'cid', 'How do I leave a room?',                     interval '5 minutes')
) as m (place, room, author, body, age)
join rooms r on r.name = m.room
where not exists (select from messages)
order by m.place;
