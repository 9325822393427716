#!/usr/bin/env node
// The driver protocol (docs/driver.md): one request a line in, one answer a line out. `--engine native`: on libedictum.

import { serve } from './src/driver.js';

const native = process.argv.slice(2).join(' ') === '--engine native';
await serve(process.stdin, process.stdout, { native });
process.exit(0);
