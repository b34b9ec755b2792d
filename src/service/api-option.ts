/** This file reads the options that say how a daemon reaches servers of the API. */
import { InvalidArgumentError } from 'commander';
import { isLoopback } from '../store/loopback.ts';
import { parsePlace } from '../store/place.ts';

/** Where servers of the API are, and what requests are signed with. */
export interface ApiPlace {
  readonly urls: readonly string[];
  /** A file with a key as JSON. */
  readonly keyFile: string;
  /** Who signed the servers' certificates, PEM; undefined: the authorities that Node.js brings. */
  readonly caFile: string | undefined;
}

/** As they are written. */
export interface ApiArguments {
  readonly api?: readonly string[] | undefined;
  readonly apiKey?: string | undefined;
  readonly apiCa?: string | undefined;
}

const URLS_MAX = 16;
/** `https://10.0.0.1:8773,https://10.0.0.2:8773` */
export function parseApiUrls(text: string): readonly string[] {
  const urls = text.split(',').map(parseUrl);
  if (urls.length > URLS_MAX) throw new InvalidArgumentError(`there are at most ${URLS_MAX}`);
  return urls;
}

function parseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.protocol === 'http:';
  if (
    url === undefined ||
    !(isPlain || url.protocol === 'https:') ||
    url.pathname !== '/' ||
    url.search + url.hash + url.username + url.password !== ''
  )
    throw new InvalidArgumentError('it is not like https://10.0.0.1:8773');
  if (isPlain && !isLoopback(url.hostname))
    throw new InvalidArgumentError(
      `${url.hostname} is not loopback, so it takes https: answers could be forged on the way`,
    );
  return url.origin;
}

/**
 * What the options say together.
 * @param store the place of the daemon's store; undefined: it has none
 * @throws RangeError if one of them is missing, or they are of no use
 */
export function apiPlaceOf(
  { api: urls, apiKey: keyFile, apiCa: caFile }: ApiArguments,
  store: string | undefined,
): ApiPlace | undefined {
  if (urls === undefined && keyFile === undefined && caFile === undefined) return undefined;
  if (urls === undefined || keyFile === undefined)
    throw new RangeError('--api and --api-key go together');
  if (store === undefined || parsePlace(store).kind === 'file')
    throw new RangeError('--api is for hosts that share a store, so it takes --store etcds://…');
  return { urls, keyFile, caFile };
}
