/** This file starts the page in the browser. */
import { render } from 'preact';
import { App } from './app.tsx';
import { openAbout } from './browser/about.ts';
import { openLive } from './browser/live.ts';
import { openRoute } from './browser/route-store.ts';
import { openSession } from './browser/session.ts';
import { openSignIn } from './browser/sign-in.ts';
import { openTheme } from './browser/theme.ts';

openSession();
openSignIn();
openTheme();
openRoute();
openAbout();
openLive();
const place = document.getElementById('page');
if (place !== null) render(<App />, place);
