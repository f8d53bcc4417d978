-- Three people, two boards, some work. Safe to run twice.

insert into boards (name)
select name from (values ('Spring release'), ('House')) as b (name)
where not exists (select from boards);

insert into members (board_id, user_id)
select b.id, m.user_id
from (values
  ('Spring release', 'ann'), ('Spring release', 'bob'), ('Spring release', 'cid'),
  ('House', 'ann')
) as m (board, user_id)
join boards b on b.name = m.board
on conflict do nothing;

insert into cards (id, board_id, list, position, title, note, label, assignee, created_by)
select gen_random_uuid(), b.id, c.list, c.position, c.title, c.note, c.label, c.assignee, 'ann'
from (values
  ('Spring release', 'todo',   1, 'Write the upgrade notes', 'What changes, and what to do about it.', 'chore', 'ann'),
  ('Spring release', 'todo',   2, 'Keyboard shortcuts', 'n for a new card, / for the filter.', 'idea', null),
  ('Spring release', 'todo',   3, 'Search forgets its text on reload', '', 'bug', 'cid'),
  ('Spring release', 'doing',  1, 'Faster first paint', 'The stylesheet blocks it.', 'chore', 'bob'),
  ('Spring release', 'doing',  2, 'Dates in the reader''s own format', '', 'bug', 'ann'),
  ('Spring release', 'review', 1, 'Dark mode', 'Look at the labels, too.', 'idea', 'bob'),
  ('Spring release', 'done',   1, 'Choose a name', '', '', 'ann'),
  ('House', 'todo',  1, 'Paint the fence', '', 'chore', 'ann'),
  ('House', 'doing', 1, 'A shelf for the hall', '', 'idea', 'ann')
) as c (board, list, position, title, note, label, assignee)
join boards b on b.name = c.board
where not exists (select from cards);
