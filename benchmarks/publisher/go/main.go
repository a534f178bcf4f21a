// The Go client with a window of unconfirmed messages: persistent, mandatory, confirmed.
// Prints how many it sent per second, from the first publish to the last confirm.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	messages, window := number("BENCHMARK_MESSAGES"), number("BENCHMARK_WINDOW")
	body := make([]byte, number("BENCHMARK_BODY_BYTES"))
	connection, err := amqp.Dial(os.Getenv("BENCHMARK_URI"))
	check(err)
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	go func() {
		for returned := range channel.NotifyReturn(make(chan amqp.Return, window)) {
			log.Fatalf("returned: %s", returned.ReplyText)
		}
	}()
	started := time.Now()
	publish(channel, os.Getenv("BENCHMARK_QUEUE"), body, messages, window)
	fmt.Println(float64(messages) / time.Since(started).Seconds())
	check(connection.Close())
}

// publish waits for the oldest confirm whenever the window is full, and for all of them at the end.
func publish(channel *amqp.Channel, queue string, body []byte, messages, window int) {
	pending := make([]*amqp.DeferredConfirmation, window)
	for i := range messages + window {
		slot := i % window
		if pending[slot] != nil && !pending[slot].Wait() {
			log.Fatal("not confirmed")
		}
		pending[slot] = nil
		if i < messages {
			message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}
			var err error
			pending[slot], err = channel.PublishWithDeferredConfirmWithContext(
				context.Background(), "", queue, true, false, message)
			check(err)
		}
	}
}

func number(name string) int {
	value, err := strconv.Atoi(os.Getenv(name))
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
