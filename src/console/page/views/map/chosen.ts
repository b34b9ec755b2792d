/** This file says what of the map was clicked. */

/** What the panel is about. */
export interface Chosen {
  readonly kind: 'node' | 'edge' | 'drop';
  readonly id: string;
}
