/** How V8 compiles the packet loop. */
import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 inline all of a packet's way into one function. Its limits are made for code of which little is hot;
 * with them a packet makes some fifteen calls, which take a fifth of its time. Call before anything is hot.
 */
export function letCompilerInline(): void {
  setFlagsFromString('--max-inlined-bytecode-size=1000');
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=9000');
  setFlagsFromString('--max-inlined-bytecode-size-absolute=20000');
}
