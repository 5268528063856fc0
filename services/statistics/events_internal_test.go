package statistics

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMultisetHashIsTheSumOfHashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var m multisetHash
		sum := new(big.Int)
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, rapid.Uint64().Draw(t, "record")))
			if rapid.Bool().Draw(t, "largest") {
				for i := range hash {
					hash[i] = 0xff
				}
			}
			n := rapid.OneOf(rapid.Uint64(), rapid.Just(^uint64(0))).Draw(t, "n")
			m.add(&hash, n)
			sum.Add(sum, new(big.Int).Mul(new(big.Int).SetBytes(hash[:]), new(big.Int).SetUint64(n)))
		}
		sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 256))
		got := m.sum()
		if new(big.Int).SetBytes(got[:]).Cmp(sum) != 0 {
			t.Fatalf("the sum is %x, want %x", got, sum)
		}
	})
}

func TestGrouperTellsEveryCombinationApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 50).Draw(t, "rows")
		var g grouper
		g.reset(rows)
		texts := make([]string, rows)
		for range rapid.IntRange(0, 4).Draw(t, "columns") {
			size := rapid.SampledFrom([]int{1, 3, tableSize + 1}).Draw(t, "size") // small ones in a table, large ones not
			positions := make([]uint32, rows)
			for row := range positions {
				positions[row] = rapid.Uint32Range(0, uint32(size-1)).Draw(t, "position")
				texts[row] += string(binary.BigEndian.AppendUint32(nil, positions[row]))
			}
			g.by(positions, size)
		}
		groups := map[string]uint32{}
		for row, text := range texts {
			group, ok := groups[text]
			if !ok {
				group = uint32(len(groups))
				groups[text] = group
				if g.first[group] != uint32(row) {
					t.Fatalf("the first row of group %d is %d, want %d", group, g.first[group], row)
				}
			}
			if g.of[row] != group {
				t.Fatalf("row %d is in group %d, want %d", row, g.of[row], group)
			}
		}
		if len(g.first) != len(groups) {
			t.Fatalf("there are %d groups, want %d", len(g.first), len(groups))
		}
	})
}

func TestEventTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		text      string
		frequency Frequency
		want      string // "": refused
	}{
		{"2023-05-17", 'M', "2023-05"},
		{"2023-05-17", 'D', "2023-05-17"},
		{"2023-05-17", 'W', "2023-W20"},
		{"2023-05-17T23:59:60Z", 'M', ""},
		{"2023-05-31T23:59:59.999Z", 'M', "2023-05"},
		{"2023-05-31T23:30:00-05:00", 'M', "2023-05"}, // June in UTC, and May where it was
		{"2023-06-01T00:30:00+09:00", 'Q', "2023-Q2"},
		{"2023-W01", 'A', "2023"},
		{"2020-W53", 'M', "2020-12"},
		{"2023-T2", 'A', "2023"},
		{"2023-T2", 'Q', ""},
		{"2023-S1", 'Q', ""},
		{"2023", 'A', "2023"},
		{"2023", 'M', ""},
		{"2023-05", 'W', ""},
		{"2024", 'A', "2024"},
		{"2024-06-02", 'D', "2024-06-02"}, // it is tomorrow somewhere
		{"2024-06-03", 'D', ""},
		{"2024-07", 'M', ""},
		{"9999-12-31", 'D', ""},
		{"10000-01-01T00:00:00Z", 'D', ""},
		{"0000-00-00", 'D', ""},
		{"2023-02-29", 'D', ""},
		{"2023-05-17 10:00:00", 'D', ""},
		{"2023-05-17T10:00:00", 'D', ""},
		{"17/05/2023", 'D', ""},
		{"", 'D', ""},
		{"1684317600", 'D', ""},
	} {
		at, wrong := parseEventTime(test.text, now).in(test.frequency)
		switch {
		case test.want == "" && wrong == "":
			t.Errorf("%q counts to %s", test.text, test.frequency.Period(at))
		case test.want != "" && wrong != "":
			t.Errorf("%q %s", test.text, wrong)
		case test.want != "" && test.frequency.Period(at).String() != test.want:
			t.Errorf("%q counts to %s, want %s", test.text, test.frequency.Period(at), test.want)
		}
	}
}

func TestIdentityIsKnownByItsName(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"name", "NAME", "First Name", "firstName", "FIRST_NAME", "last-name", "Surname", "full.name", "alias", "passenger_name",
		"nom", "Prénom", "PRENOM", "nom_de_famille", "apellidos", "Primer apellido", "nombre", "nome", "Sobrenome", "Vorname", "Nachname", "Familienname",
		"passport", "passport_no", "PassportNumber", "pasaporte", "Passeport", "nº passaporte", "Reisepassnummer", "document_number", "documentNo",
		"numero_documento", "número de documento", "Ausweisnummer", "cedula", "cédula", "DNI", "cpf", "ssn", "national_id", "visa_number",
		"address", "home_address", "adresse", "dirección", "domicilio", "endereço", "Anschrift", "Straße", "postal_code", "PLZ",
		"phone", "Telefon", "teléfono", "telefone", "mobile", "Handynummer", "email", "e-mail", "E_Mail", "correo electrónico", "courriel",
		"ip", "IP_ADDRESS", "ipAddress", "ipv4", "fingerprint", "Fingerabdruck", "huella_dactilar", "empreinte digitale", "iris", "face_image", "biometric_hash",
		"dob", "date_of_birth", "DateOfBirth", "birthdate", "birth_year", "date de naissance", "fecha_nacimiento", "data de nascimento", "Geburtsdatum",
		"pre\u0301nom",
	} {
		if !looksLikeIdentity(field) {
			t.Errorf("%q looks harmless", field)
		}
	}
	for _, field := range []string{"SEX", "AGE", "CITIZENSHIP", "SECTION", "COLOUR", "DOCUMENT_TYPE", "TRANSPORT", "ROUTE", "COMMENT", "OBS_VALUE", "_KEY", "TRIP", "", "___"} {
		if looksLikeIdentity(field) {
			t.Errorf("%q looks like an identity", field)
		}
	}
}
