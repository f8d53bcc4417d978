package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func (m *Main) callCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "call NAME [name=value …]",
		Short: "Call a mutation, or a query once, and print the result",
		Example: "  weir call messages.post room=1 body='hello there' --as ann\n" +
			"  weir call messages.list --args '{\"room\": 1}' --as ann",
		Args: nameFirst,
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.call(cmd.Context(), flags, args[0], args[1:])
		},
	}
	flags.add(cmd)
	return cmd
}

// nameFirst wants the name of a function.
func nameFirst(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s needs the name of a function: %s", cmd.CommandPath(), cmd.UseLine())
	}
	return nil
}

func (m *Main) call(ctx context.Context, flags clientFlags, name string, rest []string) error {
	var body []byte
	params, err := assignments(rest)
	if err == nil && flags.args != "" {
		body, err = objectArgs(flags.args, rest)
	}
	if err != nil {
		return err
	}
	c, err := m.client(flags)
	if err != nil {
		return err
	}
	defer c.close()
	f, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if body == nil {
		body = f.json(params)
	}
	path := "/v1/call/"
	if f.Kind == "query" {
		path = "/v1/q/"
	}
	r, err := c.request(ctx, path+url.PathEscape(name), nil, body)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.do(r)
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, bytes.TrimSpace(answer), "", "  ") != nil {
		return fmt.Errorf("the answer is not JSON: is %s a weir?", c.base)
	}
	fmt.Fprintf(m.Stdout, "%s\n", plainJSON(pretty.Bytes()))
	return nil
}
