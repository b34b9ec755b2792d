/** This is the version in package.json. `--version` prints it, and the metrics carry it. */
import { readFileSync } from 'node:fs';

const manifest = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string };

export const { version } = manifest;
