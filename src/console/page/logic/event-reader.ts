/**
 * This file reads server-sent events out of a stream of text (HTML standard, section 9.2, as far as the console's
 * server uses it: `event`, `data`, comments).
 *
 * The page reads the stream by fetch, since EventSource sends no header with the token.
 */

export interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

/** A line or an event that is longer comes of no server of ours. */
const PENDING_MAX = 8 * 1024 * 1024;

export class EventReader {
  private pending = '';
  private name = '';
  private data: string[] = [];
  private dataLength = 0;

  /**
   * Takes what came and gives the events that are complete with it.
   * @throws Error if an event is longer than any that the server sends
   */
  push(text: string): StreamEvent[] {
    const events: StreamEvent[] = [];
    const lines = (this.pending + text).split('\n');
    this.pending = lines.pop() ?? '';
    for (const line of lines) {
      const event = this.take(line.replace(/\r$/, ''));
      if (event !== undefined) events.push(event);
    }
    if (this.pending.length + this.dataLength > PENDING_MAX)
      throw new Error('an event is too long');
    return events;
  }

  private take(line: string): StreamEvent | undefined {
    if (line === '') return this.finish();
    // A comment keeps the connection open.
    if (line.startsWith(':')) return undefined;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.name = value;
    if (field === 'data') {
      this.data.push(value);
      this.dataLength += value.length;
    }
    return undefined;
  }

  private finish(): StreamEvent | undefined {
    const { name, data } = this;
    this.name = '';
    this.data = [];
    this.dataLength = 0;
    return data.length === 0
      ? undefined
      : { name: name === '' ? 'message' : name, data: data.join('\n') };
  }
}
