package db

import (
	"slices"

	"weir/abi"
)

// Schema describes the rows as clients get them, in the order of the columns. It
// is nil for a statement that returns none. A column may be null unless it is in
// the key: whether an outer join makes it so, PostgreSQL does not tell.
func (s *Statement) Schema() *abi.Schema {
	columns := s.Columns()
	names, children := s.Nested()
	if len(columns)+len(names) == 0 {
		return nil
	}
	row := &abi.Schema{Type: "object"}
	for i := range columns {
		column := columns[i].schema()
		column.Optional = !slices.Contains(s.key, columns[i].Name)
		row.Fields = append(row.Fields, abi.Field{Name: columns[i].Name, Schema: column})
	}
	for i, name := range names {
		if nested := children[i].Schema(); nested != nil {
			row.Fields = append(row.Fields, abi.Field{Name: name, Schema: *nested})
		}
	}
	return &abi.Schema{Type: "array", Items: row}
}

// schema is the JSON of a column's values, see AppendValueJSON.
func (c *Column) schema() abi.Schema {
	s := abi.Schema{Type: "string"}
	switch c.layout.form {
	case formInt2, formInt4, formInt8:
		s.Type = "integer"
	case formFloat4, formFloat8:
		s.Type = "number"
	case formBool:
		s.Type = "boolean"
	case formUUID:
		s.Format = "uuid"
	case formInstant:
		s.Format = "date-time"
	case formBytes:
		s.Format = "bytes"
	case formJSON:
		s = abi.Schema{Format: "json"}
	case formText:
		switch {
		case c.layout.array: // the element's type is not known here
		case c.OID == oidNumeric:
			s.Format = "decimal"
		case c.OID == oidDate:
			s.Format = "date"
		}
	}
	if c.layout.array {
		return abi.Schema{Type: "array", Items: &s}
	}
	return s
}
