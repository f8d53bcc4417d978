package auth

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
)

// newKeySet checks the address of a key set and makes the client that fetches it
// (J6).
func newKeySet(k Key, transport http.RoundTripper) (*keySet, error) {
	u, err := url.Parse(k.JWKS)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("jwks is not an address: give https://… of the issuer's key set")
	case u.User != nil:
		return nil, errors.New("jwks holds a password: key sets are public, give the plain address")
	case u.Scheme == "https":
	case u.Scheme == "http" && k.JWKSPrivate && loopbackName(u.Hostname()):
	default:
		return nil, errors.New("jwks is not https: anybody on the way could sign tokens, use https")
	}
	if transport == nil {
		transport = guardedTransport(k.JWKSPrivate)
	}
	return &keySet{config: k, client: &http.Client{
		Timeout:   fetchTimeout,
		Transport: transport,
		// A redirect is an answer of another status, which is an error.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// guardedTransport dials only addresses that addressAllowed allows. The check is
// made on the address that is dialled, after the name was resolved, so that a
// name cannot point to one address when asked and to another when used.
func guardedTransport(private bool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: fetchTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !addressAllowed(ap.Addr(), private) {
				return fmt.Errorf("%s is not a public address: set jwks_private if the issuer is in your own network", ap.Addr())
			}
			return nil
		},
	}
	return &http.Transport{
		Proxy:                  nil, // a proxy would resolve the name beyond our check
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    fetchTimeout,
		ResponseHeaderTimeout:  fetchTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		DisableKeepAlives:      true, // one request in minutes; idle connections are not worth owning
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// special are networks that are not public beyond those netip knows, and those
// that hide an IPv4 address.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// carrier is the shared address space of carriers and of private overlays.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// metadata are addresses in private networks where clouds keep credentials.
var metadata = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200")}

// addressAllowed reports whether a key set may be fetched from an address.
// Link-local and metadata ones, where clouds keep credentials, are never allowed.
func addressAllowed(a netip.Addr, private bool) bool {
	a = a.Unmap().WithZone("")
	if slices.Contains(metadata, a) {
		return false
	}
	if a.IsLoopback() || a.IsPrivate() || carrier.Contains(a) {
		return private
	}
	if !a.IsGlobalUnicast() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

func loopbackName(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
