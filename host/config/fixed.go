package config

import (
	"fmt"
	"reflect"
)

// Fixed names what next has otherwise than c and what a running server cannot
// change: addresses, weir's own connection, and what bounds the whole server.
// Empty: all that differs can be reloaded.
func (c *Config) Fixed(next *Config) []string {
	var keys []string
	differ := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			keys = append(keys, key)
		}
	}
	differ("engine", c.Engine, next.Engine)
	differ("server.listen", c.Server.Listen, next.Server.Listen)
	differ("server.tls_certificate", c.Server.TLSCertificate, next.Server.TLSCertificate)
	differ("server.tls_key", c.Server.TLSKey, next.Server.TLSKey)
	differ("server.web", c.Server.Web, next.Server.Web)
	differ("server.writer", c.Server.Writer, next.Server.Writer)
	differ("admin.listen", c.Admin.Listen, next.Admin.Listen)
	differ("database.url", c.Database.URL, next.Database.URL)
	now, then := reflect.ValueOf(c.Limits), reflect.ValueOf(next.Limits)
	for _, fd := range fieldsOf(now.Type()) {
		if fd.server {
			differ("limits."+fd.key, now.Field(fd.index).Interface(), then.Field(fd.index).Interface())
		}
	}
	return keys
}

// Sentence puts what is wrong with a file into one.
func (e Errors) Sentence() string {
	switch len(e) {
	case 0:
		return ""
	case 1:
		return e[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", e[0], len(e)-1)
}
