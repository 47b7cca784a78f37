package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

// Words that functions share, from the layer.
const file = "/opt/share/greetings.json"

type request struct {
	Name     string `json:"name"`
	Language string `json:"language"`
}

type response struct {
	Greeting string `json:"greeting"`
	Layer    string `json:"layer"`
}

var words map[string]string

func greet(ctx context.Context, event request) (response, error) {
	if event.Language == "" {
		event.Language = "en"
	}
	word, known := words[event.Language]
	if !known {
		return response{}, fmt.Errorf("there is no greeting in %s", event.Language)
	}
	return response{Greeting: fmt.Sprintf("%s, %s!", word, event.Name), Layer: file}, nil
}

func main() {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &words)
	}
	if err != nil {
		panic(err) // ends the process, which the log says
	}
	lambda.Start(greet)
}
