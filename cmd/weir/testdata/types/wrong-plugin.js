// What an author may not write: each line below a mark is an error.
const lists = select("select id, title from lists order by id", { key: "id" })
const add = exec("insert into lists (title) values ($title) returning id")
const member = allowIf("member", { me: t.claim("sub") }, "select 1 from members where user_id = $me")

// wrong: nothing about access
query("a", {}, lists, {})
// wrong: a misspelt option
query("b", {}, lists, { public: true, require: member, resutl: t.int })
// wrong: a type in quotes
query("c", { id: "int" }, lists, { public: true })
// wrong: no such type
query("d", { id: t.integer }, lists, { public: true })
// wrong: an argument that was not declared
query("e", { id: t.int }, a => lists.all({ id: a.idd }), { public: true })
// wrong: an argument that may be absent
query("f", { id: t.text.optional() }, a => a.id.length, { public: true })
// wrong: a number and a bigint
query("g", { id: t.int64 }, a => a.id + 1, { public: true })
// wrong: a query writes
query("h", {}, add, { public: true })
// wrong: another result than it says
query("i", {}, () => ({ id: "one" }), { public: true, result: t.object({ id: t.int }) })
// wrong: a result without one of its fields
query("j", {}, () => ({ id: 1 }), { public: true, result: t.object({ id: t.int, title: t.text }) })
// wrong: a policy by its name
query("k", {}, lists, { require: "member" })
// wrong: a default of another type
query("l", { limit: t.int.default("50") }, lists, { public: true })
// wrong: no column to nest by
select("select id from lists", { nest: nest("lists", "id", lists) })
// wrong: nest is no statement
select("select id from lists", { nest: lists })
// wrong: rows of a function that is none
query("m", {}, () => lists.rows().pluck(["id"]), { public: true })
// wrong: columns are a list
query("n", {}, () => lists.rows().project("id"), { public: true })
// wrong: no such capability
plugin("board", "1.0.0", { capabilities: ["network"] })
// wrong: a policy says yes or no
policy("o", {}, () => "yes")
// wrong: an error without a code
query("p", {}, () => { throw fail("write something first") }, { public: true })
// wrong: there are no timers
setTimeout(() => {}, 10)
// wrong: nor is there a network
query("q", {}, () => fetch("https://example.com"), { public: true })
// wrong: another value of the list
query("r", { colour: t.enum("red", "blue") }, a => a.colour === "green", { public: true })
// wrong: rows of a statement, not the statement
querySQL("select id from lists").all().nest("x", "id", lists, "id").boom; lists.nest("x")
