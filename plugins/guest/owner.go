package weir

import "strings"

// plainName reports whether s is a name of a table or column as it may stand in a
// statement, qualified or not. By hand: package regexp would be a tenth of every
// plugin, to compile and to start.
func plainName(s string) bool {
	for {
		n := 0
		if strings.HasPrefix(s, `"`) {
			if n = strings.IndexByte(s[1:], '"') + 2; n < 3 || strings.ContainsRune(s[:n], 0) {
				return false // without its end, or with nothing in it
			}
		} else {
			for n < len(s) && (s[n] == '_' || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z' || n > 0 && s[n] >= '0' && s[n] <= '9') {
				n++
			}
			if n == 0 {
				return false
			}
		}
		if n == len(s) {
			return true
		}
		if s[n] != '.' {
			return false
		}
		s = s[n+1:]
	}
}

// Owner declares the policy that a row of a table belongs to the caller. The
// arguments in A name the row by columns of the same name; owner is the column
// that holds whose it is, compared with the claim in A. It is live like every
// policy: whoever gives the row away sees it no longer. Call it at package level.
//
//	var mine = weir.Owner[struct {
//		ID int64
//		Me string `claim:"sub"`
//	}]("mine", "documents", "owner")
//
//	func init() { weir.Query("document", document, weir.Require(mine)) }
//
// It is AllowIf with `select 1 from documents where id = $id and owner = $me`.
func Owner[A any](name, table, owner string, options ...Option) *Policy {
	if !plainName(table) || !plainName(owner) {
		panic("weir.Owner: table and column are names, quoted if they need it: " + table + ", " + owner)
	}
	fields, err := inputFields(newBody[A]().argType)
	if err != nil {
		panic("weir.Owner: " + err.Error())
	}
	var where []string
	me := ""
	for _, f := range fields {
		switch f.source {
		case fromCaller:
			where = append(where, `"`+f.name+`" = $`+f.name)
		case fromClaim:
			me = f.name
		}
	}
	if len(where) == 0 {
		panic("weir.Owner: say which row: an argument named like its key column")
	}
	if me == "" {
		panic("weir.Owner: say who is compared with " + owner + ": a field like Me string `claim:\"sub\"`")
	}
	where = append(where, owner+" = $"+me)
	return AllowIf[A](name, "select 1 from "+table+" where "+strings.Join(where, " and "), options...)
}
