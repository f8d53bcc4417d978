package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/abi"
	"weir/host/auth"
	"weir/host/config"
)

func (m *Main) tokenCommand() *cobra.Command {
	var key, file string
	var claims []string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "token --claim sub=NAME",
		Short: "Sign a token with a shared secret, for a try",
		Long: "Sign a token with the shared secret (HS256) in a file, or with the first one of weir.toml,\n" +
			"whose issuer and audience it then gets. Values that are JSON are taken as JSON.",
		Example: "  weir token --claim sub=ann --claim roles='[\"admin\"]'",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			return m.token(key, file, claims, ttl)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the file of the secret; then iss and aud are claims to give")
	cmd.Flags().StringVar(&file, "config", configName, "the configuration whose key is used without --key")
	cmd.Flags().StringArrayVar(&claims, "claim", nil, "a claim, as name=value; may be given several times")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long it is good")
	return cmd
}

func (m *Main) token(key, file string, list []string, ttl time.Duration) error {
	if ttl <= 0 {
		return usagef("--ttl %s has passed already: give a time like 1h", ttl)
	}
	claims := map[string]any{}
	secret, err := m.tokenSecret(key, file, claims)
	if err != nil {
		return err
	}
	now := time.Now()
	claims["iat"], claims["exp"] = now.Unix(), now.Add(ttl).Unix()
	for _, c := range list {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" {
			return usagef("--claim %q is not name=value: write for example sub=ann", c)
		}
		claims[name] = claimValue(name, value)
	}
	for _, name := range []string{"sub", "iss", "aud"} {
		if _, ok := claims[name]; !ok {
			return usagef("the token has no %s, and weir would refuse it: add --claim %[1]s=…", name)
		}
	}
	token, err := auth.Mint(secret, claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.Stdout, token)
	return err
}

// tokenSecret reads the secret, and fills in issuer and audience when they are
// known.
func (m *Main) tokenSecret(key, file string, claims map[string]any) ([]byte, error) {
	if key != "" {
		secret, err := os.ReadFile(m.path(key))
		if err != nil {
			return nil, fmt.Errorf("read --key: %w: write a secret of 32 bytes or more into it", err)
		}
		return []byte(strings.TrimRight(string(secret), "\r\n")), nil
	}
	p, err := m.openProject(file)
	var usage *usageError
	if errors.As(err, &usage) {
		return nil, usagef("there is no %s here: name the file of a secret with --key", file)
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.config.Auth.Keys, func(k config.Key) bool { return k.HS256.Reveal() != "" })
	if i < 0 {
		return nil, usagef("%s has no hs256 key: name the file of a secret with --key, or use --as under weir dev", m.shown(p.file))
	}
	k := p.config.Auth.Keys[i]
	claims["iss"], claims["aud"] = k.Issuer, k.Audience
	return []byte(k.HS256.Reveal()), nil
}

// claimValue reads a claim's value. Names of people and places stay text, also
// when they look like numbers.
func claimValue(name, text string) any {
	if slices.Contains([]string{"sub", "iss", "aud", "jti"}, name) {
		return text
	}
	v, err := abi.ParseJSON([]byte(text), abi.MaxDepth)
	if err != nil {
		return text
	}
	return plainValue(v)
}

func plainValue(v abi.Value) any {
	switch v.Type() {
	case abi.TypeArray:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plainValue(v.At(i))
		}
		return list
	case abi.TypeMap:
		object := make(map[string]any, v.Len())
		for i := range v.Len() {
			member, _ := v.Get(v.Key(i))
			object[v.Key(i)] = plainValue(member)
		}
		return object
	}
	if b, ok := v.AsBool(); ok {
		return b
	}
	if n, ok := v.AsInt(); ok {
		return n
	}
	if f, ok := v.AsFloat(); ok {
		return f
	}
	if s, ok := v.AsText(); ok {
		return s
	}
	return nil
}
