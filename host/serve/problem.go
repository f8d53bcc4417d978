package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// problem is what a client is told of an error.
type problem struct {
	Code      abi.Code
	Message   string
	Retryable bool
	Reason    string // of a denial
	Status    int
}

// row is one line of the table of codes.
type row struct {
	status    int
	retryable bool
	message   string // the public text, when the error has none of its own
}

// problems is the table. A code that is not in it is a plugin's own.
var problems = map[abi.Code]row{
	abi.BadRequest:      {400, false, "the request is malformed: see the protocol"},
	abi.TooLarge:        {413, false, "the request is too large: send less"},
	abi.UnknownFunction: {404, false, "there is no function of that name and kind: GET /v1/schema lists them"},
	abi.UnknownPath:     {404, false, "there is nothing at this path"},
	abi.MethodNotUsed:   {405, false, "this path does not take that method: see Allow"},
	abi.MediaType:       {415, false, "send Content-Type: application/json"},
	abi.SessionGone:     {404, false, "the session is gone: open a new stream"},
	abi.WrongHost:       {421, false, "the host is not in server.hosts"},
	abi.CrossSite:       {403, false, "cross-site request: add the page's origin to server.origins"},

	abi.Unauthenticated: {401, false, auth.ErrUnauthenticated.Error()},
	abi.Denied:          {403, false, "access denied"},
	abi.Expired:         {401, false, "the token has expired: get a new one"},

	abi.LimitReached:   {429, true, "a limit is reached: try again later"},
	abi.Overload:       {503, true, "the server is overloaded: try again later"},
	abi.ResultTooLarge: {500, false, "the result is too large: ask for fewer rows"},
	abi.Deadline:       {504, true, "the function took too long"},

	abi.Conflict:       {409, true, "other writes were in the way: try again"},
	abi.OutcomeUnknown: {500, false, "the database was lost while it committed, and whether it did is not known: look before you do it again"},
	abi.SQLError:       {500, false, "the database refused a statement: the server's log says why"},
	abi.GuestTrap:      {500, false, "the plugin crashed: the server's log says why"},
	abi.GuestExit:      {500, false, "the plugin ended itself: the server's log says why"},
	abi.GuestBlocked:   {500, false, "the plugin waits for itself: the server's log says why"},
	abi.GuestMemory:    {500, false, "the plugin needs more memory than its limit"},
	abi.GuestStack:     {500, false, "the plugin needs more stack than its limit"},
	abi.GuestContract:  {500, false, "the plugin broke its contract: the server's log says how"},
	abi.HostCalls:      {500, false, "the plugin made too many calls"},
	abi.PluginBroken:   {503, true, "the plugin keeps failing and is stopped for a while"},

	abi.Unavailable:   {503, true, "the database cannot be reached: try again later"},
	abi.NotLive:       {500, false, "the result cannot be kept live"},
	abi.Stale:         {503, true, "a change is waiting to be shown"},
	abi.PluginRemoved: {404, false, "the plugin was removed"},
	abi.TenantRemoved: {404, false, "there is no such tenant any more"},
	abi.Draining:      {503, true, "the server is stopping: connect again"},
	abi.Internal:      {500, false, "internal error: the server's log has it under the request id"},

	abi.Slow:     {408, true, "the client took bytes too slowly"},
	abi.Shutdown: {503, true, "the server has stopped: connect again"},
	abi.Dropped:  {410, false, "the subscription was dropped"},
}

// sentinels gives codes to the errors of rooms that know no codes.
var sentinels = []struct {
	err  error
	code abi.Code
	// own takes the error's own text, which was written for clients.
	own bool
}{
	{tenant.ErrTooManySessions, abi.LimitReached, true},
	{tenant.ErrTooManySubscriptions, abi.LimitReached, true},
	{tenant.ErrTooManyGroups, abi.LimitReached, true},
	{tenant.ErrOverloaded, abi.Overload, false},
	{tenant.ErrArgumentsTooLarge, abi.TooLarge, true},
	{tenant.ErrResultTooLarge, abi.ResultTooLarge, false},
	{tenant.ErrUnknownTenant, abi.UnknownPath, false},
	{tenant.ErrOtherTenant, abi.Denied, true},
	{reactor.ErrClosed, abi.Draining, false},
	{reactor.ErrTooManyGroups, abi.LimitReached, true},
	{reactor.ErrPrincipalGroups, abi.LimitReached, true},
	{reactor.ErrBehind, abi.Unavailable, false},
	{reactor.ErrLate, abi.Stale, false},
	{reactor.ErrEpoch, abi.Unavailable, false},
	{reactor.ErrAhead, abi.Unavailable, true},
	{auth.ErrUnauthenticated, abi.Unauthenticated, false},
	{context.DeadlineExceeded, abi.Deadline, false},
}

// problemOf reads the table.
func problemOf(err error) problem {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		p := problemOfCode(refusal.Kind, refusal.Message)
		p.Reason = refusal.Reason
		return p
	}
	var argument *abi.ArgumentError
	if errors.As(err, &argument) {
		return problemOfCode(abi.BadRequest, argument.Error())
	}
	var text *abi.JSONError
	if errors.As(err, &text) {
		return problemOfCode(abi.BadRequest, text.Error())
	}
	var guest *abi.Error
	if errors.As(err, &guest) {
		return problemOfGuest(guest)
	}
	switch auth.KindOf(err) {
	case auth.KindExpired:
		return problemOfCode(abi.Expired, "")
	case auth.KindUnavailable:
		return problemOfCode(abi.Unavailable, "the issuer's keys cannot be fetched: try again later")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problemOfCode(abi.TooLarge, "the body is over "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes: send less")
	}
	// An error that knows its code comes before the sentinels that it may wrap: a
	// guest's deadline is a fault of the guest, not only a deadline.
	var coded interface{ Code() abi.Code }
	if errors.As(err, &coded) {
		return problemOfCode(coded.Code(), publicText(err))
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			text := publicText(err)
			if text == "" && s.own {
				text = s.err.Error()
			}
			return problemOfCode(s.code, text)
		}
	}
	return problemOfCode(abi.Internal, "")
}

// publicText is the text that the error wrote for clients, empty if none.
func publicText(err error) string {
	var public interface{ Public() string }
	if errors.As(err, &public) {
		return public.Public()
	}
	return ""
}

// problemOfGuest takes what a plugin said with Fail. A code of weir's own table
// keeps its status; a plugin's own code is the caller's fault: 422.
func problemOfGuest(e *abi.Error) problem {
	if !e.Public {
		return problemOfCode(abi.Internal, "")
	}
	p := problemOfCode(e.Code, e.Message)
	p.Retryable = e.Retryable
	return p
}

func problemOfCode(code abi.Code, message string) problem {
	r, ok := problems[code]
	if !ok {
		r = row{status: http.StatusUnprocessableEntity, message: "the plugin refused the request"}
	}
	if message == "" {
		message = r.message
	}
	return problem{Code: code, Message: message, Retryable: r.retryable, Status: r.status}
}

// ours reports whether the host or a plugin is at fault, so that the log must
// have the details.
func (p problem) ours() bool { return p.Status >= 500 && p.Code != abi.Draining }

// fail answers with the problem of err and logs it once if it is ours.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // nobody is there to be told
	}
	s.note(r, p, err)
	s.count(requestOf(r), err)
	s.writeProblem(w, r, p)
}

// note logs what the client is not told.
func (s *Server) note(r *http.Request, p problem, err error) {
	id := requestOf(r).id
	switch {
	case p.ours():
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("request", id), slog.String("code", string(p.Code)), slog.Any("err", err))
	case p.Code == abi.Unauthenticated || p.Code == abi.Expired:
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "token refused",
			slog.String("request", id), slog.Any("err", refusedToken(err)))
	}
}

// refusedToken gives the log the kind and detail of a refusal, which its text
// hides.
func refusedToken(err error) any {
	var refused *auth.Error
	if errors.As(err, &refused) {
		return refused
	}
	return err
}

// writeProblem answers with a problem document.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	s.stats.problem(p.Code)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	if p.Retryable && p.Status != http.StatusConflict {
		// A shared Retry-After would bring all clients back in one moment.
		h.Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	body, err := json.Marshal(struct {
		Status    int      `json:"status"`
		Code      abi.Code `json:"code"`
		Message   string   `json:"message"`
		Retryable bool     `json:"retryable,omitempty"`
		RequestID string   `json:"request_id"`
	}{p.Status, p.Code, p.Message, p.Retryable, requestOf(r).id})
	if err != nil {
		panic("BUG: a problem cannot be encoded: " + err.Error())
	}
	_, _ = w.Write(append(body, '\n'))
}

// retryMS is a time for one client to come back, different for each.
func retryMS(least, window time.Duration) int64 {
	return (least + rand.N(max(window, time.Millisecond))).Milliseconds()
}

// Errors of requests, written for the client.

// told is an error whose whole text may be shown.
type told struct {
	error
	limit string // the key of the limit that was reached
}

// Public returns the text.
func (t told) Public() string { return t.Error() }

// Unwrap returns the error, so that its sentinel is found.
func (t told) Unwrap() error { return t.error }

// limitError wraps the sentinel of a limit, which has the key in [limits], with
// the number that was reached.
func limitError(sentinel error, limit, format string, args ...any) error {
	return told{fmt.Errorf("%w: "+format, append([]any{sentinel}, args...)...), limit}
}

// count counts a limit that was reached, by tenant.
func (s *Server) count(q *request, err error) {
	var t told
	if q.tenant != nil && errors.As(err, &t) {
		s.stats.reached(q.tenant.Name, t.limit)
	}
}

func badRequest(message string) error { return &Refusal{Kind: abi.BadRequest, Message: message} }

func refusal(code abi.Code) error { return &Refusal{Kind: code, Message: problems[code].message} }
