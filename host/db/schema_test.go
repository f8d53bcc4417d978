package db

import (
	"encoding/json"
	"strings"
	"testing"

	"weir/abi"
)

// What is described is what comes: every value fits the schema of its column.
func TestSchemaDescribesTheRows(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create table things (id int8 primary key, name text, price numeric, day date, at timestamptz, ok bool, ratio float8,
		data jsonb, raw bytea, ref uuid, tags text[], days date[], size int2);
		insert into things values (1, 'a', 1.50, '2026-01-31', '2026-01-31T09:30Z', true, 0.5, '{"a": 1}', 'x', '0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d', '{a,b}', '{2026-01-31}', 3);
		insert into things (id) values (2);
		grant select, insert on things to weir_test`)
	s := prepare(t, d, `select * from things order by id`, "id")
	schema := s.Schema()
	var described struct {
		Items struct{ Properties map[string]map[string]any }
	}
	if err := json.Unmarshal(abi.AppendJSONSchema(nil, schema), &described); err != nil {
		t.Fatal(err)
	}
	kinds := func(name string) string {
		text, _ := json.Marshal(described.Items.Properties[name])
		return string(text)
	}
	for name, want := range map[string]string{
		"id": `{"type":"integer"}`, "name": `{"type":["string","null"]}`, "price": `{"format":"decimal","type":["string","null"]}`,
		"day": `{"format":"date","type":["string","null"]}`, "at": `{"format":"date-time","type":["string","null"]}`,
		"ok": `{"type":["boolean","null"]}`, "ratio": `{"type":["number","null"]}`, "data": `{}`,
		"raw": `{"contentEncoding":"base64","type":["string","null"]}`, "ref": `{"format":"uuid","type":["string","null"]}`,
		"tags": `{"items":{"type":"string"},"type":["array","null"]}`, "days": `{"items":{"type":"string"},"type":["array","null"]}`,
		"size": `{"type":["integer","null"]}`,
	} {
		if got := kinds(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	rows, err := abi.ParseJSON([]byte(rowsJSON(t, one(t, d, s))), abi.MaxDepth)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schema.Check(rows); err != nil {
		t.Errorf("the rows do not fit: %v", err)
	}
	if w, err := d.PrepareSQL(t.Context(), `insert into things (id) values (3)`, Write); err != nil || w.Schema() != nil {
		t.Errorf("a statement without rows is described: %v", err)
	}
	if !strings.Contains(string(abi.AppendJSONSchema(nil, schema)), `"id":{"type":"integer"},"name"`) {
		t.Error("the order of the columns is lost")
	}
}
