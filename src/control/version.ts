/** The version in package.json: what `--version` prints and the metrics carry. */
import { readFileSync } from 'node:fs';

const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string };

export const { version } = manifest;
