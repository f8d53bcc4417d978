package serve

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"weir/abi"
	"weir/host/tenant"
)

// cookieName is the cookie that holds a token.
const cookieName = "weir"

// maxCookieToken is how long a token in a cookie may be: browsers drop a cookie of
// more than 4 096 bytes without a word.
const maxCookieToken = 4000

// cookieToken returns the token of the cookie, "" if there is none. A browser adds
// the cookie to what any page asks, so that the page must be one that may: the
// origin guard has let the origin pass, here it must be there (CSRF).
func cookieToken(r *http.Request) (string, error) {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) == 0 {
		return "", nil
	}
	if len(cookies) > 1 || cookies[0].Value == "" {
		// A page of a neighbouring name can set a second one.
		return "", &Refusal{Kind: abi.Unauthenticated, Message: "send one cookie " + cookieName + ": DELETE /v1/cookie, then sign in again"}
	}
	if r.Header.Get("Origin") == "" {
		// A form or an image of a neighbouring name: same site, another page.
		site := r.Header.Get("Sec-Fetch-Site")
		if r.Method != http.MethodGet || site != "" && site != "same-origin" && site != "none" {
			return "", &Refusal{Kind: abi.CrossSite, Message: "a request by cookie needs the Origin of a page that may ask: use fetch or EventSource of a page of this server or of server.origins"}
		}
	}
	return cookies[0].Value, nil
}

// handleCookie answers POST /v1/cookie: the Bearer of the request becomes a cookie
// that scripts cannot read and that lives no longer than the token.
func (s *Server) handleCookie(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r)
	err := s.emptyBody(w, r)
	token := ""
	if err == nil {
		token, err = bearer(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	lives := time.Until(q.caller.Expires)
	switch {
	case token == "":
		err = &Refusal{Kind: abi.Unauthenticated, Message: "send Authorization: Bearer and the token that the cookie is to hold"}
	case len(token) > maxCookieToken:
		err = &Refusal{Kind: abi.TooLarge, Message: fmt.Sprintf("the token is over %d bytes, which browsers do not keep in a cookie: get one with fewer claims", maxCookieToken)}
	case !q.caller.Expires.IsZero() && lives < time.Second:
		err = refusal(abi.Expired)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c := newCookie(r, token)
	if !q.caller.Expires.IsZero() {
		c.MaxAge = int(lives / time.Second)
	}
	setCookie(w, c)
}

// handleDropCookie answers DELETE /v1/cookie. It asks nobody who they are: a
// cookie that does not hold any more must go too.
func (s *Server) handleDropCookie(w http.ResponseWriter, r *http.Request) {
	if err := onlyParameters(r); err != nil {
		s.fail(w, r, err)
		return
	}
	c := newCookie(r, "")
	c.MaxAge = -1
	setCookie(w, c)
}

// newCookie makes the cookie of the tenant whose path the request has: it is sent
// with the requests of that path and no others.
func newCookie(r *http.Request, value string) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: strings.TrimSuffix(r.URL.Path, "/cookie"),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func setCookie(w http.ResponseWriter, c *http.Cookie) {
	http.SetCookie(w, c)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// emptyBody takes a POST that has nothing to say: no body or {}, as JSON all the
// same, so that no form can send it.
func (s *Server) emptyBody(w http.ResponseWriter, r *http.Request) error {
	if err := onlyParameters(r, "as"); err != nil {
		return err
	}
	body, err := s.readBody(w, r, 1<<10)
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(body)); text != "" && text != "{}" {
		return badRequest("this path takes no members: send {}")
	}
	return nil
}

// handleTicket answers POST /v1/ticket with a ticket for one stream.
func (s *Server) handleTicket(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r)
	err := s.emptyBody(w, r)
	if err == nil && q.caller.Anonymous() {
		err = &Refusal{Kind: abi.Unauthenticated, Message: "a ticket stands for a token: send Authorization: Bearer and a token"}
	}
	id := ""
	if err == nil {
		id, err = s.tickets.issue(q.caller, q.tenant.Limits)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, fmt.Appendf(nil, "{\"ticket\":%q,\"expires_in_ms\":%d}\n", id, ticketLife.Milliseconds()))
}

// errTickets is the refusal of one ticket more.
func errTickets(what string, have int) error {
	return limitError(tenant.ErrTooManySessions, "tickets", "%s has %d tickets that were not used", what, have)
}
