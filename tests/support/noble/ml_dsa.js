// ML-DSA by @noble/post-quantum, an implementation in JavaScript that shares no
// code with OpenSSL. All arguments are hex; prints hex, or true and false.
//   public LEVEL SEED
//   sign LEVEL SEED CONTEXT MESSAGE
//   verify LEVEL PUBLIC-KEY CONTEXT MESSAGE SIGNATURE
import {ml_dsa65, ml_dsa87} from '@noble/post-quantum/ml-dsa.js';

const [operation, level, ...hex] = process.argv.slice(2);
const scheme = {'65': ml_dsa65, '87': ml_dsa87}[level];
const [first, context, message, signature] =
    hex.map((text) => new Uint8Array(Buffer.from(text, 'hex')));
const print = (bytes) => console.log(Buffer.from(bytes).toString('hex'));

switch (operation) {
  case 'public':
    print(scheme.keygen(first).publicKey);
    break;
  case 'sign':
    print(scheme.sign(scheme.keygen(first).secretKey, message, context));
    break;
  case 'verify':
    console.log(scheme.verify(first, message, signature, context));
    break;
  default:
    throw new Error(`unknown operation ${operation}`);
}
