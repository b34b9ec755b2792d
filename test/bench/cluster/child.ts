/** A program of the benchmark that is asked and answers, one question at a time. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Bench } from '../bench.ts';

export class Child<Question extends { readonly kind: string }> {
  private readonly child: ChildProcess;
  private readonly name: string;

  private constructor(child: ChildProcess, name: string) {
    this.child = child;
    this.name = name;
  }

  /** Starts a program; it ends with the run. @param enter what the command begins with, to be in a namespace */
  static start<Question extends { readonly kind: string }>(
    bench: Bench,
    file: string,
    args: readonly string[],
    enter: readonly string[] = [],
  ): Child<Question> {
    const [command, ...rest] = [...enter, process.execPath, ...args.filter(isOption), file];
    const child = spawn(command, [...rest, ...args.filter((one) => !isOption(one))], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    bench.scope.after(() => child.kill('SIGKILL'));
    return new Child(child, file);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** @throws Error if the program ends instead */
  async ask(question: Question): Promise<unknown> {
    const failed = new AbortController();
    const ended = once(this.child, 'exit', { signal: failed.signal }).then(() => {
      throw new Error(`${this.name} ended`);
    });
    try {
      this.child.send(question);
      const [answer] = (await Promise.race([once(this.child, 'message'), ended])) as [unknown];
      return answer;
    } finally {
      ended.catch(() => undefined);
      failed.abort();
    }
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

function isOption(text: string): boolean {
  return text.startsWith('--');
}

/** In such a program: answers each question. */
export function answer<Question>(work: (question: Question) => Promise<unknown>): void {
  process.on('message', (question: Question) => {
    void work(question).then((result) => process.send!(result ?? null));
  });
  process.on('disconnect', () => process.exit());
}
