package config

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// validate checks what types cannot say. Every message ends with the next step.
func (c *Config) validate(f *faults) {
	c.validateServer(f)
	c.validateDatabase(f)
	validatePlugins(f, "", c.Trust, c.Grant, c.Require, c.Auth)
	validateFunctions(f, "sql", c.SQL)
	validateAuth(f, "auth", c.Auth)
	validateAdmin(f, c.Admin, c.Server)
	validatePluginConfigs(f, "", c.Plugin)
	if c.Plugins == "" && len(c.Plugin) > 0 {
		f.at("plugin", "plugin is of the tenant default, which is not there: move it to [tenant.NAME.plugin], or set plugins")
	}
	for _, name := range c.tenantNames() {
		c.validateTenant(f, name)
	}
	c.validateApart(f)
	c.validateConnections(f)
}

func (c *Config) validateServer(f *faults) {
	validateListen(f, "server.listen", c.Server.Listen)
	switch {
	case c.Server.TLSCertificate != "" && c.Server.TLSKey == "":
		f.at("server.tls_certificate", "server.tls_certificate is set without server.tls_key: name the file of its key too")
	case c.Server.TLSCertificate == "" && c.Server.TLSKey != "":
		f.at("server.tls_key", "server.tls_key is set without server.tls_certificate: name the file of the certificate too")
	}
	if !slices.Contains([]string{"auto", "goroutine", "shard"}, c.Server.Writer) {
		f.at("server.writer", `server.writer is %q: write "auto", "goroutine" or "shard"`, c.Server.Writer)
	}
	for i, origin := range c.Server.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			f.at(item("server.origins", i), `server.origins has %q: write scheme and host alone, such as "https://app.example.com"`, origin)
		}
	}
	for i, proxy := range c.Server.TrustedProxies {
		_, err := netip.ParseAddr(proxy)
		if _, err2 := netip.ParsePrefix(proxy); err != nil && err2 != nil {
			f.at(item("server.trusted_proxies", i), `server.trusted_proxies has %q: write an address or a network, such as "10.0.0.0/8"`, proxy)
		}
	}
}

func (c *Config) validateDatabase(f *faults) {
	validateURL(f, "database.url", c.Database.URL)
	validateURL(f, "database.guest", c.Database.Guest)
}

// validateURL never repeats the value: it holds a password.
func validateURL(f *faults, key string, s Secret) {
	text := s.Reveal()
	ok := strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") || strings.Contains(text, "=")
	if text != "" && !ok {
		f.at(key, "%s is not a PostgreSQL URL: write postgres://user:password@host/database", key)
	}
}

func validateListen(f *faults, key, addr string) (host string) {
	if socket, ok := strings.CutPrefix(addr, "unix:"); ok && socket != "" {
		return ""
	}
	host, port, err := net.SplitHostPort(addr)
	if n, err2 := strconv.ParseUint(port, 10, 16); err != nil || err2 != nil || n > 65535 {
		f.at(key, `%s is %q: write "host:port", ":port" or "unix:/path"`, key, addr)
		return "?"
	}
	return host
}

func validateAdmin(f *faults, a Admin, s Server) {
	host := validateListen(f, "admin.listen", a.Listen)
	if strings.HasPrefix(a.Listen, "unix:") || host == "?" {
		return
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		f.at("admin.listen", `admin.listen is %q, which others can reach: use "127.0.0.1:8091" or "unix:/path"`, a.Listen)
	}
	if a.Listen == s.Listen {
		at := "admin.listen"
		if f.line(at) == 0 {
			at = "server.listen" // the other one is the default
		}
		f.at(at, "admin.listen and server.listen are the same: use another port for one of them")
	}
}

// policyName is how a plugin names a policy, its own or plugin/name.
var policyName = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$`)

func validatePlugins(f *faults, prefix, trust string, grant []string, require map[string][]string, auth Auth) {
	at := func(name string) string { return joinKey(prefix, name) }
	if trust != "trusted" && trust != "sandboxed" {
		f.at(at("trust"), `%s is %q: write "trusted" for your own plugins or "sandboxed" for those of others`, at("trust"), trust)
	}
	for i, word := range grant {
		claim, isClaim := strings.CutPrefix(word, "claim:")
		_, mapped := auth.Claims[claim]
		switch {
		case word == "public" || word == "sql.dynamic":
		case !isClaim || claim == "":
			f.at(item(at("grant"), i), `%s has %q: write "public", "claim:NAME" or "sql.dynamic"`, at("grant"), word)
		case !mapped && !slices.Contains(standardClaims, claim) && !slices.Contains(ownClaims, claim):
			f.at(item(at("grant"), i), "%s has %q, but %s has no %s: add its path there", at("grant"), word, joinKey(at("auth"), "claims"), claim)
		}
	}
	for pattern, policies := range require {
		key := joinKey(at("require"), pattern)
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			f.at(key, `%s: the pattern %q is not one: write a function's name or "admin.*"`, at("require"), pattern)
		}
		if len(policies) == 0 {
			f.at(key, "%s: %q requires no policy: name at least one, or remove it", at("require"), pattern)
		}
		for i, p := range policies {
			if !policyName.MatchString(p) {
				f.at(item(key, i), `%s: %q is not the name of a policy: write "name" or "plugin/name"`, at("require"), p)
			}
		}
	}
}

// functionName is schema.name: without a schema, search_path would decide.
var functionName = regexp.MustCompile(`^[^.\s]+\.[^.\s]+$`)

func validateFunctions(f *faults, key string, s SQL) {
	for i, name := range s.Functions {
		if !functionName.MatchString(name) {
			f.at(item(key+".functions", i), `%s.functions has %q: write "schema.name"`, key, name)
		}
	}
}

// standardClaims are those of every token, ownClaims those that weir fills in
// for everyone who is signed in.
var (
	standardClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}
	ownClaims      = []string{"principal", "admin"}
)

func validateAuth(f *faults, key string, a Auth) {
	for i, k := range a.Keys {
		validateKey(f, fmt.Sprintf("%s.keys[%d]", key, i), k)
	}
	for name, where := range a.Claims {
		at := joinKey(key+".claims", name)
		switch {
		case slices.Contains(standardClaims, name):
			f.at(at, "%s: %s always is the token's own %s: use another name", at, name, name)
		case slices.Contains(ownClaims, name):
			f.at(at, "%s: weir fills in the claim %s itself: use another name", at, name)
		case name == "" || where == "":
			f.at(at, `%s: name and path must not be empty: write roles = "realm_access.roles"`, at)
		}
	}
	for name, want := range a.Admin {
		at := joinKey(key+".admin", name)
		if _, mapped := a.Claims[name]; !mapped && name != "sub" {
			f.at(at, "%s: %s.claims has no %s: add its path there", at, key, name)
		}
		if want == "" {
			f.at(at, "%s is empty: write the value that an administrator has", at)
		}
	}
}

func validateKey(f *faults, key string, k Key) {
	if k.Issuer == "" {
		f.at(key, "%s has no issuer: add the iss of its tokens", key)
	}
	if strings.ContainsFunc(k.Issuer, unicode.IsSpace) {
		f.at(key, "%s has an issuer with a space, which parts issuer and subject in the name of a principal: use one without", key)
	}
	if k.Audience == "" {
		f.at(key, "%s has no audience: add the aud of its tokens, or tokens for other services would be taken", key)
	}
	sources := 0
	for _, given := range []bool{k.JWKS != "", k.HS256 != "" || k.HS256File != "", k.PublicKey != "" || k.PublicKeyFile != ""} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		f.at(key, "%s has %d of jwks, hs256 and public_key: give exactly one", key, sources)
	}
	// A secret from a file is not there yet when only the text is parsed.
	if n := len(k.HS256); n > 0 && n < 32 {
		at := key + ".hs256"
		if k.HS256File != "" {
			at += "_file"
		}
		f.at(at, "%s has %d bytes: use at least 32 random ones, such as those of openssl rand -base64 48", at, n)
	}
	if k.PublicKey != "" {
		block, _ := pem.Decode([]byte(k.PublicKey))
		if block == nil || !strings.HasSuffix(block.Type, "PUBLIC KEY") {
			f.at(key+".public_key", "%s.public_key is not a public key: it begins with -----BEGIN PUBLIC KEY-----", key)
		}
	}
	if !slices.Contains([]string{"", "HS256", "EdDSA", "ES256", "RS256"}, k.Algorithm) {
		f.at(key+".algorithm", "%s.algorithm is %q: use EdDSA, ES256 or RS256", key, k.Algorithm)
	}
	validateJWKS(f, key, k)
}

func validateJWKS(f *faults, key string, k Key) {
	if k.JWKS == "" {
		if k.JWKSPrivate {
			f.at(key+".jwks_private", "%s.jwks_private is set without jwks: remove it", key)
		}
		return
	}
	u, err := url.Parse(k.JWKS)
	switch {
	case err != nil || u.Host == "":
		f.at(key+".jwks", "%s.jwks is not an address: write https://… of the issuer's key set", key)
	case u.User != nil:
		f.at(key+".jwks", "%s.jwks holds a password: key sets are public, write the plain address", key)
	case u.Scheme == "https":
	case u.Scheme == "http" && k.JWKSPrivate && loopback(u.Hostname()):
	default:
		f.at(key+".jwks", "%s.jwks is not https: anybody on the way could sign tokens, use https", key)
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
