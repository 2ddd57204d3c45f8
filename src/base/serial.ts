/** Tasks one after the other, in the order in which they were asked for. */

export class Serial {
  /** Ends when all that was asked for has ended, well or not; never fails. */
  #tail: Promise<void> = Promise.resolve();

  /** Runs the task when those before it have ended. A failure is the caller's alone: what is asked for next runs all the same. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(task);
    const ended = (): void => undefined;
    this.#tail = run.then(ended, ended);
    return run;
  }

  /** When all that was asked for until now has ended. */
  idle(): Promise<void> {
    return this.#tail;
  }
}
