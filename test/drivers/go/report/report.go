// Package report runs checks and prints one line of JSON for each, as ../../README.md describes.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

// Check is a name and what must not panic.
type Check struct {
	Name string
	Run  func()
}

var errSkipped = errors.New("skipped: direct")

// Direct says that no Sluice is between.
var Direct = os.Getenv("DRIVER_TARGET") == "direct"

// NeedsRules ends a check that says nothing about a direct connection.
func NeedsRules() {
	if Direct {
		panic(errSkipped)
	}
}

// Must panics with the error, if there is one.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Value panics with the error, or gives the value.
func Value[T any](value T, err error) T {
	Must(err)
	return value
}

// Equal panics unless both are deeply equal.
func Equal(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Errorf("got %#v, expected %#v", actual, expected))
	}
}

// Run runs the checks one after the other, each within 60 s.
func Run(checks []Check) {
	for _, check := range checks {
		done := make(chan string, 1)
		go func() {
			defer func() {
				failure := recover()
				switch {
				case failure == nil:
					done <- ""
				case failure == errSkipped:
					done <- errSkipped.Error()
				default:
					done <- fmt.Sprintf("%v\n%s", failure, debug.Stack())
				}
			}()
			check.Run()
		}()
		var detail string
		select {
		case detail = <-done:
		case <-time.After(60 * time.Second):
			detail = "no end after 60 s"
		}
		ok := detail == "" || detail == errSkipped.Error()
		line, _ := json.Marshal(map[string]any{"check": check.Name, "ok": ok, "detail": detail})
		fmt.Println(string(line))
	}
}
