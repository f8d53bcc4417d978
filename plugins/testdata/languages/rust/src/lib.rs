//! The sample in Rust: what the samples beside it say in their languages, with equal
//! manifests, results and errors.
#![forbid(unsafe_code)]

use weir::{allow, deny, fail, func, internal, record, Bytes, Call, Date, Decimal, Exec, Json, Plugin, Result, Rows, Select, Time, Uuid};

record! {
    /// A note in a list.
    struct Short { id: i64, title: String, price: Option<Decimal> }

    /// A page of a box.
    struct ListArgs {
        r#box: i64,
        /// only what is called that
        title: Option<String>,
        before: Option<i64>,
        #[weir(min = 1, max = 100, default = 10)]
        limit: i64,
    }

    struct BoxArgs { r#box: i64 }

    /// A whole note.
    struct Note {
        id: i64,
        title: String,
        image: Option<Bytes>,
        price: Option<Decimal>,
        at: Option<Time>,
        score: Option<f64>,
        done: Option<bool>,
        tags: Option<Vec<String>>,
        meta: Option<Json>,
    }

    struct BoxesArgs { boxes: Vec<i64> }
    struct Nested { r#box: i64, title: String }
    struct Boxed { id: i64, name: String, notes: Vec<Nested> }
    struct Nobody {}

    struct ReaderArgs {
        r#box: i64,
        #[weir(claim = "sub")]
        me: String,
    }
    struct Ban { banned: Option<String> }
    struct OpenArgs {
        r#box: i64,
        #[weir(claim = "sub")]
        me: String,
        #[weir(action)]
        action: String,
        #[weir(function)]
        function: String,
    }

    struct Summary { count: i64, largest: Option<i64>, letters: i64, score: f64, titles: Vec<String> }

    struct ScopedArgs {
        r#box: i64,
        #[weir(scope)]
        seen: String,
        #[weir(scope)]
        inside: i64,
    }
    struct Scoped { seen: String, inside: i64 }

    struct Point { x: i64, label: Option<String> }

    /// Every type there is.
    struct EchoArgs {
        i: i64,
        n: i32,
        f: f64,
        b: bool,
        s: String,
        y: Bytes,
        at: Time,
        d: Date,
        u: Uuid,
        p: Decimal,
        j: Json,
        #[weir(one_of = ["up", "down"])]
        e: String,
        #[weir(min_len = 1, max_len = 3)]
        o: Option<String>,
        #[weir(default = 6)]
        six: i64,
        #[weir(default = 0.5, min = -1)]
        half: f64,
        #[weir(max_len = 4)]
        list: Vec<Point>,
        nums: Vec<i64>,
    }

    struct AddArgs {
        id: i64,
        r#box: i64,
        #[weir(max_len = 40)]
        title: String,
        price: Option<Decimal>,
        image: Option<Bytes>,
        at: Option<Time>,
    }

    struct FailArgs { how: String }
    struct KeyArgs { key: String }
}

fn summary(c: &Call, a: BoxArgs, read: Select<BoxArgs, Note>) -> Result<Summary> {
    let mut s = Summary { count: 0, largest: None, letters: 0, score: 0.0, titles: Vec::new() };
    read.each(c, &a, |note| {
        s.count += 1;
        s.letters += note.title.len() as i64;
        s.largest = s.largest.max(Some(note.id));
        s.score += note.score.unwrap_or(0.0);
        s.titles.push(note.title);
        Ok(())
    })?;
    Ok(s)
}

/// Passes the notes with an odd number on, the last one first, unread.
fn odd(c: &Call, a: BoxArgs, read: Select<BoxArgs, Note>) -> Result<Rows<Note>> {
    let rows = read.rows(c, &a)?;
    let mut picked = Vec::new();
    let mut at = 0;
    rows.each(|note| {
        if note.id % 2 != 0 {
            picked.insert(0, at);
        }
        at += 1;
        Ok(())
    })?;
    rows.pick(&picked)
}

fn add(c: &Call, mut a: AddArgs, insert: Exec<AddArgs, Short>) -> Result<Short> {
    a.title = a.title.trim_matches(' ').to_string();
    if a.title.is_empty() {
        return Err(fail("empty", "schreib erst etwas: „Hallo“"));
    }
    insert.one(c, &a)
}

fn fails(_: &Call, a: FailArgs) -> Result<()> {
    match a.how.as_str() {
        "public" => Err(fail("teapot", "kurz und stämmig")),
        "retry" => Err(fail("busy", "later").retryable()),
        "internal" => Err(internal("for the log only")),
        _ => Ok(()),
    }
}

fn sample(p: &mut Plugin) {
    let list = p
        .select::<ListArgs, Short>("select id, title, price from notes where box = $box {and title = $title} {and id < $before} order by id desc limit $limit")
        .key("id");
    let read = p.select::<BoxArgs, Note>(
        "select id, title, image, price, at, score, done, tags, meta from notes where box = $box order by id");
    let nested = p.select::<BoxesArgs, Nested>(
        "select box, title from notes where box = any($boxes) order by box, id");
    let boxes = p.select::<Nobody, Boxed>("select id, name from boxes order by id").key("id").nest("notes", "id", &nested, "box");
    let reader = p.allow_if::<ReaderArgs>("reader", "select 1 from readers where box = $box and user_id = $me");
    let bans = p.select::<ReaderArgs, Ban>("select banned from readers where box = $box and user_id = $me");
    let open = p.policy("open", move |c, a: OpenArgs| {
        let ban = bans.first(c, &ReaderArgs { r#box: a.r#box, me: a.me.clone() })?;
        Ok(match ban {
            None => deny(""),
            Some(Ban { banned: Some(why) }) => deny(format!("{} ist gesperrt: {}", a.me, why)),
            Some(_) => allow()
                .scope("seen", format!("{}/{}/{}", a.me, a.action, a.function))
                .scope("inside", a.r#box)
                .until(c.now().plus_seconds(3600)),
        })
    });
    p.about(&open).uses(&[&bans]);
    let insert = p.exec::<AddArgs, Short>(
        "insert into notes (id, box, title, price, image, at) values ($id, $box, $title, $price, $image, $at) returning id, title, price");
    let remove = p.exec::<BoxArgs, ()>("delete from notes where box = $box");

    p.query("boxes.list", boxes).public();
    p.query("clock.later", func(|c, _: Nobody| {
        c.info("läuft");
        c.wake_at(c.now().plus_seconds(3600))?;
        Ok(c.now() > Time::parse("2020-12-31").unwrap())
    })).public().uses(&[]);
    p.query("config.get", func(|c, a: KeyArgs| c.config(&a.key))).public().uses(&[]);
    p.query("fail.how", func(fails)).public().uses(&[]);
    p.mutation("notes.add", func(move |c, a| add(c, a, insert))).require(&reader).uses(&[&insert]);
    p.query("notes.all", func(move |c, a| read.all(c, &a))).require(&reader).uses(&[&read]);
    p.mutation("notes.clear", func(move |c, a| remove.run(c, &a).map(|n| n as i64))).signed_in().uses(&[&remove]);
    p.query("notes.list", list).require(&reader).doc("The newest notes of a box.");
    p.query("notes.odd", func(move |c, a| odd(c, a, read))).require(&reader).uses(&[&read]);
    p.query("notes.passed", func(move |c, a| read.rows(c, &a))).require(&reader).uses(&[&read]);
    p.query("notes.scoped", func(|_, a: ScopedArgs| Ok(Scoped { seen: a.seen, inside: a.inside }))).require(&open).uses(&[]);
    p.query("notes.summary", func(move |c, a| summary(c, a, read))).require(&reader).uses(&[&read]);
    p.query("values.echo", func(|_, a: EchoArgs| Ok(a))).public().uses(&[]);
}

weir::plugin!("sample", "1.0.0", sample);
