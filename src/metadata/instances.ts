/**
 * Instances finds the instance that has an address, by asking the daemon.
 *
 * The daemon lets no packet to the platform with another instance's address, so the source of a question says who
 * asks. What was answered holds for a second, so that an instance that asks all the time costs the daemon little, and
 * a change of groups or tags shows at once.
 */
import { LRUCache } from 'lru-cache';
import { ask, ControlError } from '../control-socket/control-client.ts';
import type { InstanceView } from '../queries/instance-view.ts';

const KNOWN_MS = 1000;
const KNOWN_MAX = 8192;
const ANSWER_MS = 5000;

/** Undefined: nobody has the address. */
export type FindInstance = (address: string) => Promise<InstanceView | undefined>;

export class Instances {
  private readonly socket: string;
  private readonly known = new LRUCache<string, Promise<InstanceView | undefined>>({
    max: KNOWN_MAX,
    ttl: KNOWN_MS,
  });

  constructor(socket: string) {
    this.socket = socket;
  }

  /** @throws ControlError if the daemon does not answer */
  find(address: string): Promise<InstanceView | undefined> {
    const known = this.known.get(address);
    if (known !== undefined) return known;
    const asked = this.look(address);
    this.known.set(address, asked);
    // A failure is not remembered: the next question tries again.
    asked.catch(() => this.known.delete(address));
    return asked;
  }

  private async look(address: string): Promise<InstanceView | undefined> {
    const { instance } = await ask(this.socket, 'instance', { address }, ANSWER_MS);
    return instance;
  }
}

/** Why the daemon did not answer, for the log. */
export function failureText(error: unknown): string {
  return error instanceof ControlError ? `${error.failure}: ${error.message}` : String(error);
}
