/** The options of `sgctl console`, as they were read. */
import type { SocketOptions } from './socket.ts';
import type { TemplateOptions } from './template-options.ts';

export interface ConsoleOptions extends TemplateOptions, SocketOptions {
  readonly port: number;
  readonly json?: true;
  readonly address?: ReadonlyMap<string, string>;
}
