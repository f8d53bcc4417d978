package inspect

import (
	"fmt"
	"time"
)

// child is the process that runs Serve. It is owned by whoever took it from the
// slot.
type child struct{ *Process }

// startChild starts the program and waits until it is ready.
func startChild(config *Config) (*child, error) {
	p, err := StartProcess(Program{Command: config.Command, Hello: hello, Timeout: config.StartTimeout})
	if err != nil {
		return nil, err
	}
	config.Logger.Debug("the inspection of SQL runs", "pid", p.Pid())
	return &child{p}, nil
}

// ask exchanges one question for its answer. After any error the child is gone:
// what it would say is the answer to something else.
func (c *child) ask(rules *Rules, text string, timeout time.Duration) (verdict, error) {
	question := appendQuestion(nil, rules, text)
	if len(question) > maxQuestion {
		return verdict{}, &CrashError{Kind: CrashGarbage, Err: fmt.Errorf("%d bytes of functions", len(question))}
	}
	answer, err := c.Ask(question, maxAnswer, time.Now().Add(timeout))
	if err != nil {
		return verdict{}, err
	}
	v, ok := parseAnswer(answer, question)
	if !ok {
		return verdict{}, c.crash(errWire)
	}
	return v, nil
}
