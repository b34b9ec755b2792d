/** Reads which kind of device a network of a runtime's is to have. */
import { printable } from '../source/excerpt.ts';
import { MADE_KIND_NAMES, NO_KIND, type PortKindName } from '../ports/port-kind.ts';
import { DoorError } from './selection.ts';

/** @param text empty or undefined: nothing is said of it @throws DoorError */
export function readKind(text: string | undefined): PortKindName {
  if (text === undefined || text === '') return NO_KIND;
  const kind = MADE_KIND_NAMES.find((one) => one === text);
  if (kind !== undefined) return kind;
  throw new DoorError(
    `kind is one of ${MADE_KIND_NAMES.join(', ')}, and not ${printable(text.slice(0, 64))}`,
  );
}
