//! What only Rust and C can say, and what must go wrong: the edges of their SDKs.
#![forbid(unsafe_code)]

use weir::{func, record, Bytes, Plugin, Value};

record! {
    struct Nobody {}
    struct Anything { x: Value }
    struct Box_ { id: i64, name: String }
    struct Note { id: i64, r#box: i64, title: String }
    struct Titled { title: String, id: i64 }
    struct Wrong { nothing: String }
    struct Wide { id: i64, body: String }
    struct Sum { rows: i64, bytes: i64, last: i64 }
    struct Drawn { a: Bytes, b: Bytes }
    struct FindArgs { table: String, title: Option<String>, before: i64 }
    struct Found { id: i64 }
}

fn edges(p: &mut Plugin) {
    let boxes = p.select::<Nobody, Box_>("select id, name from boxes order by id");
    let notes = p.select::<Nobody, Note>("select id, box, title from notes order by id");
    let wide = p.select::<Nobody, Wide>("select id, body from wide order by id");

    p.query("bad.column", func(move |c, a: Nobody| notes.rows(c, &a)?.project::<Wrong>())).public();
    p.query("bad.index", func(move |c, a: Nobody| notes.rows(c, &a)?.pick(&[99]))).public();
    p.query("bad.memory", func(|_, _: Nobody| Ok(Bytes(vec![1; 1 << 30])))).public();
    p.query("bad.panic", func(|_, a: Anything| -> weir::Result<i64> { panic!("this is said: {:?}", a.x) })).public();
    p.query("codec.echo", func(|_, a: Anything| Ok(a.x))).public();
    p.query("random.draw", func(|c, _: Nobody| {
        let (mut a, mut b) = ([0; 16], [0; 16]);
        c.random(&mut a)?;
        c.random(&mut b)?;
        Ok(Drawn { a: Bytes(a.to_vec()), b: Bytes(b.to_vec()) })
    })).public();
    p.capability("sql.dynamic");
    p.query("sql.made", func(|c, a: FindArgs| {
        c.query_sql::<FindArgs, Found>(&format!("select id from {} where id < $before {{and title = $title}} order by id", a.table), &a)?.all()
    })).public();
    p.query("sql.passed", func(|c, a: FindArgs| {
        c.query_sql::<FindArgs, Found>(&format!("select id from {} where id < $before {{and title = $title}} order by id", a.table), &a)
    })).public();
    p.query("rows.inside", func(move |c, _: Nobody| {
        // Rows are read while others are.
        let mut names = Vec::new();
        boxes.each(c, &Nobody {}, |b| {
            let n = notes.all(c, &Nobody {})?.into_iter().filter(|n| n.r#box == b.id).count();
            names.push(format!("{} {}", b.name, n));
            Ok(())
        })?;
        Ok(names)
    })).public();
    p.query("rows.nest", func(move |c, a: Nobody| {
        let (parents, children) = (boxes.rows(c, &a)?, notes.rows(c, &a)?);
        parents.nest("notes", "id", &children, "box")
    })).public();
    p.query("rows.project", func(move |c, a: Nobody| notes.rows(c, &a)?.pick(&[1, 0, 1])?.project::<Titled>())).public();
    p.query("rows.read_projected", func(move |c, a: Nobody| notes.rows(c, &a)?.project::<Titled>()?.all())).public();
    p.query("rows.wide", func(move |c, a: Nobody| {
        let mut sum = Sum { rows: 0, bytes: 0, last: 0 };
        wide.each(c, &a, |w| {
            sum.rows += 1;
            sum.bytes += w.body.len() as i64;
            sum.last = w.id;
            Ok(())
        })?;
        Ok(sum)
    })).public();
}

weir::plugin!("edges", "1.0.0", edges);
