// Says what cosign's own code (pkg/cosign, offline, with a trusted root and without SCTs) thinks of keyless
// signatures: cases on standard input, a reason against each on standard output, empty for none. With a public key's file and
// an image: whether the image is signed by the key. See README.md beside this file.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	cbundle "github.com/sigstore/cosign/v2/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

type Case struct {
	Name, Digest, Bundle, Payload, Subject, SubjectRegExp, Issuer, TrustedRoot string
	Annotations                                                                map[string]string
}

func judge(c Case) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("PANIC: %v", r)
		}
	}()
	ctx := context.Background()
	tr, err := root.NewTrustedRootFromJSON([]byte(c.TrustedRoot))
	if err != nil {
		return fmt.Errorf("ROOT: %w", err)
	}
	co := &cosign.CheckOpts{
		TrustedMaterial: tr, IgnoreSCT: true, Offline: true,
		Identities:    []cosign.Identity{{Issuer: c.Issuer, Subject: c.Subject, SubjectRegExp: c.SubjectRegExp}},
		ClaimVerifier: cosign.SimpleClaimVerifier,
	}
	h, err := v1.NewHash(c.Digest)
	if err != nil {
		return err
	}
	if c.Bundle != "" {
		co.NewBundleFormat = true
		b := &bundle.Bundle{}
		if err := b.UnmarshalJSON([]byte(c.Bundle)); err != nil {
			return err
		}
		d, _ := hex.DecodeString(h.Hex)
		_, err := cosign.VerifyNewBundle(ctx, co, verify.WithArtifactDigest("sha256", d), b)
		return err
	}
	a := c.Annotations
	opts := []static.Option{}
	if a["dev.sigstore.cosign/certificate"] != "" {
		opts = append(opts, static.WithCertChain([]byte(a["dev.sigstore.cosign/certificate"]), []byte(a["dev.sigstore.cosign/chain"])))
	}
	if text := a["dev.sigstore.cosign/bundle"]; text != "" {
		b := &cbundle.RekorBundle{}
		if err := json.Unmarshal([]byte(text), b); err != nil {
			return err
		}
		opts = append(opts, static.WithBundle(b))
	}
	sig, err := static.NewSignature([]byte(c.Payload), a["dev.cosignproject.cosign/signature"], opts...)
	if err != nil {
		return err
	}
	_, err = cosign.VerifyImageSignature(ctx, sig, h, co)
	return err
}

func main() {
	if len(os.Args) > 2 {
		pem, err := os.ReadFile(os.Args[1])
		if err != nil {
			panic(err)
		}
		key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
		if err != nil {
			panic(err)
		}
		v, err := signature.LoadDefaultVerifier(key, options.WithED25519ph())
		if err != nil {
			panic(err)
		}
		ref, err := name.ParseReference(os.Args[2], name.Insecure)
		if err != nil {
			panic(err)
		}
		co := &cosign.CheckOpts{SigVerifier: v, IgnoreTlog: true, Offline: true, ClaimVerifier: cosign.SimpleClaimVerifier, ExperimentalOCI11: len(os.Args) > 3}
		sigs, _, err := cosign.VerifyImageSignatures(context.Background(), ref, co)
		fmt.Println(len(sigs), err)
		if err != nil {
			os.Exit(1)
		}
		return
	}
	var cases []Case
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	out := map[string]string{}
	for _, c := range cases {
		if err := judge(c); err != nil {
			out[c.Name] = err.Error()
		} else {
			out[c.Name] = ""
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", " ")
	e.Encode(out)
}
