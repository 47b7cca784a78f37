// A function on AWS's Go runtime client that does what its event says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Action string          `json:"action"`
	Value  json.RawMessage `json:"value"`
}

// text is a value that has to be a string.
func (e event) text() (text string) {
	_ = json.Unmarshal(e.Value, &text)
	return text
}

// Refused is the error of the action "fail"; the client takes its type from the name.
type Refused struct{ reason string }

func (r Refused) Error() string { return r.reason }

var count = 0

func handle(ctx context.Context, e event) (map[string]any, error) {
	count++
	switch e.Action {
	case "fail":
		return nil, Refused{e.text()}
	case "panic":
		panic(errors.New(e.text()))
	}
	about, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return map[string]any{
		"value": e.Value,
		"count": count,
		"context": map[string]any{
			"request_id":     about.AwsRequestID,
			"arn":            about.InvokedFunctionArn,
			"name":           lambdacontext.FunctionName,
			"version":        lambdacontext.FunctionVersion,
			"deadline_ms":    deadline.UnixMilli(),
			"client_context": about.ClientContext,
			"trace_id":       ctx.Value("x-amzn-trace-id"),
		},
	}, nil
}

func main() {
	var options []lambda.Option
	if _, graceful := os.LookupEnv("GRACEFUL"); graceful {
		options = append(options, lambda.WithEnableSIGTERM(func() { fmt.Println("the hook has run") }))
	}
	lambda.StartWithOptions(handle, options...)
}
