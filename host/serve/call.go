package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"weir/abi"
	"weir/reactor"
)

// handleQuery answers /v1/q/{name}: one result, or a stream of the one query.
func (s *Server) handleQuery(w http.ResponseWriter, r *http.Request) {
	q, err := s.query(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if wantsStream(r) {
		s.streamQuery(w, r, q)
		return
	}
	st, err := s.cfg.Backend.Get(r.Context(), requestOf(r).caller, q)
	if err == nil {
		err = failure(&st)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeResult(w, r, &st)
}

// query reads name and arguments of a request.
func (s *Server) query(w http.ResponseWriter, r *http.Request) (q Query, err error) {
	q.Tenant = requestOf(r).tenant.Name
	if q.Name, err = functionName(r); err != nil {
		return q, err
	}
	if r.Method == http.MethodPost {
		if err = onlyParameters(r, "ticket", "delta", "as"); err != nil {
			return q, err
		}
		q.Args, err = s.bodyArguments(w, r)
		return q, err
	}
	q.Args, err = queryArguments(r)
	return q, err
}

// functionName takes the name out of the path. It is matched, never used as a
// path.
func functionName(r *http.Request) (string, error) {
	name := chi.URLParam(r, "name")
	if r.URL.RawPath != "" {
		unescaped, err := url.PathUnescape(name)
		if err != nil {
			return "", badRequest("the path is malformed")
		}
		name = unescaped
	}
	return name, nil
}

// bodyArguments takes the arguments from the body. An empty body has none.
func (s *Server) bodyArguments(w http.ResponseWriter, r *http.Request) (Arguments, error) {
	body, err := s.readBody(w, r, requestOf(r).tenant.Limits.WithDefaults().MaxArgumentBytes)
	if err != nil || len(body) == 0 {
		return Arguments{}, err
	}
	return jsonArguments(body)
}

// failure is the error of a state that has no result to show.
func failure(st *reactor.State) error {
	switch {
	case st.Frame != nil:
		return nil
	case st.Policy != "":
		return Undecided(fmt.Errorf("policy %s: %w", st.Policy, st.Err))
	case st.Err != nil:
		return st.Err
	}
	return errors.New("the state has neither a result nor an error")
}

// writeResult answers with a result, or says that the client has it.
func writeResult(w http.ResponseWriter, r *http.Request, st *reactor.State) {
	h := w.Header()
	tag := `"` + st.Frame.Version.String() + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization, Cookie, Accept")
	// The rows alone do not say whether they are fresh (W9).
	h.Set("Weir-Status", st.Status.String())
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := st.Frame.Content()
	body := make([]byte, 0, len(content)+48)
	body = append(body, `{"v":`...)
	body = append(body, tag...)
	body = append(body, ',')
	body = append(body, content...)
	body = append(body, "}\n"...)
	writeJSON(w, body)
}

func writeJSON(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that has left needs no answer
}

// matches reports whether an If-None-Match names the tag.
func matches(headers []string, tag string) bool {
	for _, header := range headers {
		for candidate := range strings.SplitSeq(header, ",") {
			candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
			if candidate == tag || candidate == "*" {
				return true
			}
		}
	}
	return false
}

// handleCall answers POST /v1/call/{name}: it runs a mutation.
func (s *Server) handleCall(w http.ResponseWriter, r *http.Request) {
	name, err := functionName(r)
	if err == nil {
		err = onlyParameters(r, "as")
	}
	var args Arguments
	if err == nil {
		args, err = s.bodyArguments(w, r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	key, err := idempotencyKey(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	// A session that is gone tells nothing; its client reads afresh anyway.
	session := s.sessions.find(r.Header.Get("Weir-Session"), requestOf(r).caller.Principal)
	answer, err := s.cfg.Backend.Mutate(r.Context(), requestOf(r).caller, name, args, key)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := struct {
		Result json.RawMessage `json:"result"`
		Tx     *string         `json:"tx"`
	}{Result: answer.Result}
	if len(answer.Result) == 0 {
		out.Result = json.RawMessage("null")
	}
	if !answer.Tx.IsZero() {
		tx := answer.Tx.String()
		out.Tx = &tx
		if session != nil {
			session.follow(answer.Tx)
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(w, r, err) // the result is not JSON: the host's fault
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, append(body, '\n'))
}

// maxIdempotencyKey is how long an Idempotency-Key may be.
const maxIdempotencyKey = 64

// idempotencyKey reads the header of that name. A text is a key as it is; its
// quotes, which a structured header has, belong to it.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || values[0] == "" || len(values[0]) > maxIdempotencyKey:
		return "", badRequest("send one Idempotency-Key of 1 to 64 bytes, such as a new UUID for each call")
	}
	return values[0], nil
}

// handleSchema describes the functions. Names and shapes are for those who may
// call: it needs a token unless every function is public.
func (s *Server) handleSchema(w http.ResponseWriter, r *http.Request) {
	s.describe(w, r, func(doc []byte) ([]byte, error) { return doc, nil })
}

// describe answers with a document that is made of the one of /v1/schema.
func (s *Server) describe(w http.ResponseWriter, r *http.Request, document func([]byte) ([]byte, error)) {
	if err := onlyParameters(r, "as"); err != nil {
		s.fail(w, r, err)
		return
	}
	q := requestOf(r)
	schema := s.cfg.Schema(q.tenant.Name)
	switch {
	case !schema.Public && q.caller.Anonymous():
		s.fail(w, r, refusal(abi.Unauthenticated))
		return
	case len(schema.JSON) == 0:
		s.fail(w, r, &Refusal{Kind: abi.UnknownPath, Message: "no plugin is loaded"})
		return
	}
	h := w.Header()
	tag := `"` + schema.Digest + `"`
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Authorization, Cookie")
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, err := document(schema.JSON)
	if err != nil {
		h.Del("Cache-Control")
		s.fail(w, r, err) // the document is the host's own
		return
	}
	writeJSON(w, body)
}

// wantsStream reports whether the client takes a stream. A wildcard does not ask for
// one: who does not know of streams gets JSON.
func wantsStream(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			kind, params, err := mime.ParseMediaType(part)
			if err == nil && kind == "text/event-stream" && params["q"] != "0" {
				return true
			}
		}
	}
	return false
}
