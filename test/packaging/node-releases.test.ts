/**
 * The releases of Node.js that we say we work with, other than the one that runs these tests: the addon, the packet
 * path and real traffic under each.
 *
 * Starts early: whole test files are run, under each of them.
 */
import { testOtherReleases } from './other-node.ts';

testOtherReleases("the addon's calls, scripts of packets, a daemon with real traffic", [
  'native/arguments',
  'native/batch',
  'native/device',
  'scenarios/scenarios',
  'netns/traffic',
]);
