package db

import "weir/reactor"

// The OIDs of built-in types that this package treats in a way of their own.
// They are part of PostgreSQL's wire contract and never change.
const (
	oidBool, oidBytes, oidName, oidInt8, oidInt2, oidInt4, oidText = 16, 17, 19, 20, 21, 23, 25
	oidOID, oidJSON, oidFloat4, oidFloat8, oidBpchar, oidVarchar   = 26, 114, 700, 701, 1042, 1043
	oidDate, oidTime, oidTimestamp, oidInstant, oidNumeric         = 1082, 1083, 1114, 1184, 1700
	oidUUID, oidJSONB, oidTextArray, oidOIDArray                   = 2950, 3802, 1009, 1028
)

// elements maps the built-in array types to the types of their elements.
var elements = map[uint32]uint32{
	1000: oidBool, 1001: oidBytes, 1003: oidName, 1016: oidInt8, 1005: oidInt2, 1007: oidInt4,
	oidTextArray: oidText, 1028: oidOID, 199: oidJSON, 1021: oidFloat4, 1022: oidFloat8,
	1014: oidBpchar, 1015: oidVarchar, 1182: oidDate, 1183: oidTime, 1115: oidTimestamp,
	1185: oidInstant, 1231: oidNumeric, 2951: oidUUID, 3807: oidJSONB,
}

// sqlType is what is known of one type of a parameter or a result column.
// Domains are resolved to their base.
type sqlType struct {
	oid  uint32 // as PostgreSQL reports it
	base uint32 // after domains
	name string // as PostgreSQL prints it
	elem uint32 // base type of the elements when it is an array, else 0
	enum bool   // base, or elem, is an enum
	// clock says that PostgreSQL reads words like now in a text of base, or elem, as
	// the time of the run: types of a time of the day, ranges, rows.
	clock bool
}

// builtin returns the type of an OID below the first user OID, and false when
// the catalog must be asked.
func builtin(oid uint32) (sqlType, bool) {
	t := sqlType{oid: oid, base: oid, elem: elements[oid]}
	t.clock = t.scalar() == oidTime
	if t.elem != 0 {
		return t, true
	}
	switch oid {
	case oidBool, oidBytes, oidName, oidInt8, oidInt2, oidInt4, oidText, oidOID, oidJSON, oidFloat4,
		oidFloat8, oidBpchar, oidVarchar, oidDate, oidTime, oidTimestamp, oidInstant, oidNumeric, oidUUID, oidJSONB:
		return t, true
	}
	return t, false
}

// scalar returns the base type of a value, or of an element of a set.
func (t sqlType) scalar() uint32 {
	if t.elem != 0 {
		return t.elem
	}
	return t.base
}

// kind returns the family whose canonical form values of the type, or elements
// of the array, have (R6).
func (t sqlType) kind() reactor.Kind {
	if t.enum {
		return reactor.KindEnum
	}
	return reactor.KindOf(t.scalar())
}

// form is how a value's wire bytes become JSON and CBOR.
type form uint8

// The forms. Those up to formBytes come in PostgreSQL's binary format, the
// others as text.
const (
	formInt2 form = iota + 1
	formInt4
	formInt8
	formFloat4
	formFloat8
	formBool
	formUUID
	formInstant
	formBytes
	formText
	formJSON
)

// formOf returns the form of a scalar type. Everything without a form of its
// own is PostgreSQL's text.
func formOf(oid uint32) form {
	switch oid {
	case oidInt2:
		return formInt2
	case oidInt4:
		return formInt4
	case oidInt8:
		return formInt8
	case oidFloat4:
		return formFloat4
	case oidFloat8:
		return formFloat8
	case oidBool:
		return formBool
	case oidUUID:
		return formUUID
	case oidInstant:
		return formInstant
	case oidBytes:
		return formBytes
	case oidJSON, oidJSONB:
		return formJSON
	}
	return formText
}

// layout is how a result column is asked for and read.
type layout struct {
	form   form
	array  bool
	binary bool
}

// layoutOf returns the layout for a type. An array is binary when its elements
// are, or when they are texts, whose two formats are the same.
func layoutOf(t sqlType) layout {
	f := formOf(t.scalar())
	if t.elem == 0 {
		return layout{form: f, binary: f <= formBytes}
	}
	text := t.elem == oidText || t.elem == oidVarchar || t.elem == oidName || t.enum
	return layout{form: f, array: true, binary: f <= formBytes || text}
}

func (l layout) format() int16 {
	if l.binary {
		return 1
	}
	return 0
}
