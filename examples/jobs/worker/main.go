package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	url := flag.String("url", os.Getenv("WORKER_DATABASE_URL"), "the database (default: $WORKER_DATABASE_URL)")
	role := flag.String("role", "", "log in as this role instead of the URL's")
	pace := flag.Duration("pace", 120*time.Millisecond, "how long a brush stroke takes")
	flag.Parse()
	log.SetFlags(log.Ltime)
	config, err := pgx.ParseConfig(*url)
	if err != nil || *url == "" {
		log.Fatal("give -url postgres://weir_guest@host/database")
	}
	if *role != "" {
		config.User = *role
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w := &worker{pace: *pace}
	for ctx.Err() == nil {
		if err := w.connected(ctx, config); err != nil && ctx.Err() == nil {
			log.Print(err) // the database is away, or a word was refused: begin again
			w.rest(ctx, time.Second)
		}
	}
}

// worker does one job after another.
type worker struct {
	conn *pgx.Conn
	pace time.Duration
}

// connected works until ctx ends or the connection breaks.
func (w *worker) connected(ctx context.Context, config *pgx.ConnConfig) (err error) {
	if w.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return err
	}
	defer w.conn.Close(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		j, err := w.take(ctx)
		switch {
		case err != nil:
			return err
		case j == nil:
			w.rest(ctx, 250*time.Millisecond)
		default:
			if err := w.work(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// work does one job and tells what came of it.
func (w *worker) work(ctx context.Context, j *job) error {
	log.Printf("%s %s, attempt %d", j.Kind, j.ID, j.Attempt)
	err := errors.New("nobody here can do a " + j.Kind)
	switch j.Kind {
	case "poster.paint":
		err = w.paint(ctx, j)
	case "poster.publish":
		err = w.publish(ctx, j)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotOurs):
		log.Printf("%s: %v", j.ID, err)
		return nil
	case ctx.Err() != nil || w.conn.IsClosed():
		return err // the lease ends by itself, and somebody takes the job again
	}
	log.Printf("%s: %v", j.ID, err)
	return w.fail(ctx, j, err)
}

// rest waits, but not beyond ctx.
func (w *worker) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
